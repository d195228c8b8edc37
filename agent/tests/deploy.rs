//! What `deploy/` takes for granted of the binary holds: its arguments, variables, paths, exit codes and
//! capabilities, and that all files speak of one image.

use serde_json::Value;
use serde_yaml_ng::Deserializer;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pod of the DaemonSet, and its only container.
fn pod() -> (Value, Value) {
    let text = file("deploy/daemonset.yaml");
    let documents =
        Deserializer::from_str(&text).map(|document| serde::Deserialize::deserialize(document).unwrap());
    let sets: Vec<Value> = documents.filter(|document: &Value| document["kind"] == "DaemonSet").collect();
    assert_eq!(sets.len(), 1);
    let pod = sets[0]["spec"]["template"]["spec"].clone();
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    let container = pod["containers"][0].clone();
    (pod, container)
}

/// The values of a setting of the systemd unit, in words.
fn unit(setting: &str) -> Vec<String> {
    let text = file("deploy/tracer.service");
    let value = text.lines().find_map(|line| line.strip_prefix(setting)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {setting}")).split_whitespace().map(str::to_owned).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// What comes with `--help` behind these arguments: an unknown one before it is an error.
fn help(arguments: &[String]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_tracer")).args(arguments).arg("--help").output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_binary_understands_how_it_is_started() {
    let (_, container) = pod();
    assert_eq!(container["command"], Value::Null, "the image says what is run");
    let help_of_set = help(&texts(&container["args"]));
    let variables = container["env"].as_array().unwrap();
    assert!(!variables.is_empty());
    for variable in variables {
        let name = variable["name"].as_str().unwrap();
        assert!(help_of_set.contains(name), "`tracer run --help` does not know {name}");
    }
    assert!(help(&unit("ExecStart")[1..]).contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    // What is checked by these is that a wrong one would not pass.
    let wrong =
        Command::new(env!("CARGO_BIN_EXE_tracer")).args(["run", "--no-such", "--help"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn what_does_not_go_away_by_itself_is_not_started_again() {
    assert_eq!(unit("RestartPreventExitStatus"), ["2", "3"]);
    let help = help(&["run".into()]);
    assert!(help.contains("2  wrong usage") && help.contains("3  a privilege or a kernel feature"), "{help}");
}

#[test]
fn there_is_one_image_with_the_binary_in_one_place() {
    let (_, container) = pod();
    let dockerfile = file("deploy/Dockerfile");
    let mut words = dockerfile.split_whitespace();
    let built = words.find(|word| *word == "-t").and_then(|_| words.next());
    assert_eq!(container["image"].as_str(), built, "the image that the Dockerfile's comment builds");
    assert_eq!(built, Some(concat!("tracer:", env!("CARGO_PKG_VERSION"))));
    let place = unit("ExecStart")[0].clone();
    assert!(dockerfile.contains(&format!(r#"ENTRYPOINT ["{place}"]"#)), "{place}");
    let copied = dockerfile.lines().find(|line| line.starts_with("COPY --from=build")).unwrap();
    assert_eq!(copied.split_whitespace().last(), Some(place.as_str()));
}

#[test]
fn all_name_the_same_capabilities() {
    let (_, container) = pod();
    let capabilities = &container["securityContext"]["capabilities"];
    assert_eq!(texts(&capabilities["drop"]), ["ALL"]);
    let set: BTreeSet<_> = texts(&capabilities["add"]).iter().map(|name| format!("CAP_{name}")).collect();
    for setting in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(unit(setting).into_iter().collect::<BTreeSet<_>>(), set, "{setting}");
    }
    let readme = file("README.md");
    let deploy = readme.split("## Deploy").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let named = deploy.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let named: BTreeSet<_> = named.filter(|word| word.starts_with("CAP_")).map(str::to_owned).collect();
    assert_eq!(named, set, "README.md");
}

#[test]
fn what_is_mounted_is_read_and_comes_from_the_same_place() {
    let (pod, container) = pod();
    assert_eq!(pod["hostPID"], true, "the kernel's process ids are the node's");
    let binary = fs::read(env!("CARGO_BIN_EXE_tracer")).unwrap();
    let volumes = pod["volumes"].as_array().unwrap();
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts.len(), volumes.len());
    for mount in mounts {
        let path = mount["mountPath"].as_str().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
        let volume = volume.unwrap_or_else(|| panic!("no volume for {mount}"));
        assert_eq!(volume["hostPath"]["path"], path);
        // Only what is usual for each service is kept, in a folder that the unit has too.
        let kept = unit("StateDirectory").iter().any(|name| path == format!("/var/lib/{name}"));
        assert_eq!(mount["readOnly"] == true, !kept, "{path}");
        let read = binary.windows(path.len()).any(|window| window == path.as_bytes());
        assert!(read, "the binary does not know {path}");
    }
}
