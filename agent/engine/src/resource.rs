//! An observed process as an OpenTelemetry resource: what it is called, and where it runs.

use crate::{Config, ProcessFacts, Resource, Value};

/// `service.name` of a process of which nothing is known.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// The resource of a process.
#[must_use]
pub fn resource(facts: ProcessFacts, config: &Config) -> Resource {
    let variables = declared(&facts);
    let mut attributes: Vec<(String, Value)> = Vec::with_capacity(16);
    let mut put = |key: &str, value: Value| attributes.push((key.to_owned(), value));
    put("service.name", Value::Str(service_name(&facts, &variables)));
    put("host.name", Value::Str(config.host_name.clone()));
    put("os.type", Value::Str("linux".into()));
    put("process.pid", Value::Int(facts.pid.into()));
    if facts.ppid != 0 {
        put("process.parent_pid", Value::Int(facts.ppid.into()));
    }
    let optional = [
        ("host.id", config.host_id.clone()),
        ("process.executable.path", (!facts.exe.is_empty()).then(|| facts.exe.clone())),
        ("process.executable.name", executable_name(&facts)),
        ("container.id", container_id(&facts.cgroup).map(str::to_owned)),
        ("k8s.pod.uid", pod_uid(&facts.cgroup)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            put(key, Value::Str(value));
        }
    }
    if !facts.args.is_empty() {
        put("process.command_args", Value::Strings(facts.args.clone()));
    }
    // What the process says of itself stands, except who it is.
    for (key, value) in variables {
        if attributes.iter().all(|(known, _)| *known != key) {
            attributes.push((key, Value::Str(value)));
        }
    }
    attributes.sort_by(|a, b| a.0.cmp(&b.0));
    Resource { pid: facts.pid, attributes, facts }
}

impl Resource {
    /// `service.name`.
    #[must_use]
    pub fn service_name(&self) -> &str {
        match self.attributes.iter().find(|(key, _)| key == "service.name") {
            Some((_, Value::Str(name))) => name,
            _ => "",
        }
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`: `key=value,key=value`, percent-encoded (OpenTelemetry resource SDK).
fn declared(facts: &ProcessFacts) -> Vec<(String, String)> {
    let Some(list) = variable(facts, "OTEL_RESOURCE_ATTRIBUTES") else { return Vec::new() };
    list.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), percent_decode(value.trim())))
        .filter(|(key, _)| !key.is_empty())
        .take(32)
        .collect()
}

fn variable<'a>(facts: &'a ProcessFacts, name: &str) -> Option<&'a str> {
    facts.environment.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = || {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        if let (b'%', Some(byte)) = (*first, escaped()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Its own word, then the systemd unit, then script or jar, then the executable.
fn service_name(facts: &ProcessFacts, declared: &[(String, String)]) -> String {
    variable(facts, "OTEL_SERVICE_NAME")
        .map(str::to_owned)
        .or_else(|| declared.iter().find(|(k, _)| k == "service.name").map(|(_, v)| v.clone()))
        .or_else(|| systemd_unit(&facts.cgroup).map(str::to_owned))
        .or_else(|| program(facts))
        .or_else(|| executable_name(facts))
        .unwrap_or_else(|| UNKNOWN_SERVICE.into())
}

/// The service unit that the cgroup's path ends in; a user's manager is nobody's service.
fn systemd_unit(cgroup: &str) -> Option<&str> {
    let unit = cgroup.split('/').rev().find_map(|part| part.strip_suffix(".service"))?;
    (!unit.starts_with("user@") && !unit.starts_with("docker") && !unit.starts_with("containerd"))
        .then_some(unit)
}

fn executable_name(facts: &ProcessFacts) -> Option<String> {
    let name = base(facts.exe.trim_end_matches(" (deleted)"));
    let name = if name.is_empty() { &facts.comm } else { name };
    (!name.is_empty()).then(|| name.to_owned())
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Programs that run other programs, by the begin of their executable's name.
const INTERPRETERS: &[&str] = &["python", "node", "ruby", "perl", "php", "java", "bun", "deno"];

/// What an interpreter runs: the jar, the module, or the script without its ending.
fn program(facts: &ProcessFacts) -> Option<String> {
    let executable = executable_name(facts)?;
    if !INTERPRETERS.iter().any(|known| executable.starts_with(known)) {
        return None;
    }
    let mut args = facts.args.iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-m" | "-jar" => return stem(args.next()?),
            // Its argument is code or a value, not a file.
            "-c" | "-e" | "-cp" | "-classpath" | "-W" | "-X" | "-r" | "--require" | "--import" => {
                args.next();
            }
            option if option.starts_with('-') => {}
            script => return stem(script),
        }
    }
    None
}

/// The last part of a path or class name, without the ending of a source file.
fn stem(path: &str) -> Option<String> {
    let name = base(path);
    let name =
        name.rsplit_once('.').filter(|(s, end)| !s.is_empty() && end.len() <= 3).map_or(name, |(s, _)| s);
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The 64 hexadecimal digits by which container runtimes name a container's cgroup.
fn container_id(cgroup: &str) -> Option<&str> {
    let part = cgroup.split('/').rev().find(|part| part.len() >= 64)?;
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.get(part.len().checked_sub(64)?..)?;
    id.bytes().all(|b| b.is_ascii_hexdigit()).then_some(id)
}

/// The pod's uid from `kubepods...pod<uid>`, whose dashes systemd's driver turns into underscores.
fn pod_uid(cgroup: &str) -> Option<String> {
    cgroup.split('/').find_map(|part| {
        let (_, uid) = part.rsplit_once("pod")?;
        let uid = uid.trim_end_matches(".slice").replace('_', "-");
        let valid = uid.len() == 36 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        valid.then_some(uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(exe: &str, args: &[&str], cgroup: &str, environment: &[(&str, &str)]) -> String {
        let facts = ProcessFacts {
            exe: exe.into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            cgroup: cgroup.into(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..ProcessFacts::default()
        };
        let resource = resource(facts, &Config::default());
        match &resource.attributes.iter().find(|(k, _)| k == "service.name").expect("always there").1 {
            Value::Str(s) => s.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn service_names() {
        let python = "/usr/bin/python3.11";
        assert_eq!(name("/usr/sbin/nginx", &["nginx: worker process"], "/", &[]), "nginx");
        assert_eq!(name("/usr/sbin/nginx (deleted)", &[], "/", &[]), "nginx");
        assert_eq!(name(python, &["python3", "-u", "/srv/shop.py", "8000"], "/", &[]), "shop");
        assert_eq!(name(python, &["python", "/venv/bin/gunicorn", "app:app"], "/", &[]), "gunicorn");
        assert_eq!(name(python, &["python", "-m", "http.server"], "/", &[]), "http.server");
        assert_eq!(name(python, &["python", "-c", "import x"], "/", &[]), "python3.11");
        assert_eq!(name("/usr/bin/java", &["java", "-Xmx1g", "-jar", "/opt/pay.jar"], "/", &[]), "pay");
        assert_eq!(name("/usr/bin/node", &["node", "server.js"], "/", &[]), "server");
        assert_eq!(name(python, &["python", "a.py"], "/system.slice/pay.service", &[]), "pay");
        assert_eq!(name(python, &["python", "a.py"], "/user.slice/user@0.service/app", &[]), "a");
        assert_eq!(name(python, &["python", "a.py"], "/", &[("OTEL_SERVICE_NAME", "till")]), "till");
        let attributes = [("OTEL_RESOURCE_ATTRIBUTES", "team=blue,service.name=till%20two")];
        assert_eq!(name(python, &["python", "a.py"], "/", &attributes), "till two");
        assert_eq!(name("", &[], "", &[]), "unknown_service");
    }

    #[test]
    fn containers() {
        let id = "a".repeat(64);
        let path = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0b7e1f3a_1111_2222_3333_444455556666.slice/cri-containerd-{id}.scope"
        );
        assert_eq!(container_id(&path), Some(id.as_str()));
        assert_eq!(pod_uid(&path).as_deref(), Some("0b7e1f3a-1111-2222-3333-444455556666"));
        assert_eq!(container_id("/system.slice/nginx.service"), None);
        assert_eq!(pod_uid("/system.slice/podman.service"), None);
    }

    #[test]
    fn attributes_are_sorted_and_unique() {
        let facts = ProcessFacts {
            pid: 7,
            environment: vec![("OTEL_RESOURCE_ATTRIBUTES".into(), "process.pid=1,b=2,a=1".into())],
            ..ProcessFacts::default()
        };
        let resource = resource(facts, &Config::default());
        let keys: Vec<_> = resource.attributes.iter().map(|(k, _)| k.as_str()).collect();
        assert!(keys.windows(2).all(|w| w[0] < w[1]), "{keys:?}");
        assert!(resource.attributes.contains(&("process.pid".into(), Value::Int(7))));
    }
}
