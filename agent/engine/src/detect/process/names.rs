//! Names of programs, where a name is what matters.

/// An interpreter of a language, and how its command line is read.
#[derive(Debug)]
pub struct Interpreter {
    /// What it is called, before any version.
    pub name: &'static str,
    /// Letters of the options that take code.
    pub code: &'static str,
    /// Letters of the options that take a file, a module or the like to run.
    pub file: &'static str,
    /// Letters of the options that take another value.
    pub values: &'static str,
    /// Letters of the options whose value, if any, can only stand in the same argument.
    pub glued: &'static str,
    /// Letters of the options upon which it says something of itself and ends.
    pub about: &'static str,
    /// Whole arguments that take code.
    pub code_words: &'static [&'static str],
    /// Whole arguments that take another value.
    pub value_words: &'static [&'static str],
}

const PLAIN: Interpreter = Interpreter {
    name: "",
    code: "e",
    file: "",
    values: "",
    glued: "",
    about: "hv",
    code_words: &[],
    value_words: &[],
};
const PYTHON: Interpreter =
    Interpreter { name: "python", code: "c", file: "m", values: "WX", about: "hV", ..PLAIN };
const NODE: Interpreter = Interpreter {
    name: "node",
    code: "ep",
    values: "rC",
    code_words: &["--eval", "--print"],
    value_words: &[
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "--conditions",
        "--env-file",
        "--input-type",
    ],
    ..PLAIN
};

/// Programs that run code of a language.
pub const INTERPRETERS: &[Interpreter] = &[
    PYTHON,
    Interpreter { name: "pypy", ..PYTHON },
    Interpreter { name: "perl", code: "eE", values: "I", glued: "MmiFCDdx", about: "hvV", ..PLAIN },
    Interpreter { name: "ruby", values: "rICEF", glued: "iKTWx", ..PLAIN },
    NODE,
    Interpreter { name: "nodejs", ..NODE },
    Interpreter { name: "bun", ..NODE },
    Interpreter { name: "deno", code: "", code_words: &["eval"], ..PLAIN },
    Interpreter {
        name: "php",
        code: "rBRE",
        file: "fFS",
        values: "dczt",
        about: "hvim",
        code_words: &["--run", "--process-begin", "--process-code", "--process-end"],
        value_words: &["--define", "--php-ini"],
        ..PLAIN
    },
    Interpreter { name: "lua", values: "l", ..PLAIN },
    Interpreter { name: "luajit", values: "lj", glued: "O", ..PLAIN },
    Interpreter { name: "tclsh", code: "", about: "", ..PLAIN },
    Interpreter { name: "expect", code: "c", file: "f", ..PLAIN },
    Interpreter { name: "osascript", values: "l", about: "", ..PLAIN },
    Interpreter { name: "Rscript", about: "", ..PLAIN },
    Interpreter { name: "julia", code: "eE", values: "CJLHptl", code_words: &["--eval", "--print"], ..PLAIN },
    Interpreter { name: "guile", code: "c", file: "se", values: "lLCx", ..PLAIN },
    Interpreter { name: "groovy", ..PLAIN },
    Interpreter { name: "elixir", code_words: &["--eval", "--rpc-eval"], ..PLAIN },
    Interpreter { name: "erl", code: "", code_words: &["-eval", "--eval"], about: "", ..PLAIN },
    Interpreter {
        name: "pwsh",
        code: "",
        about: "",
        code_words: &["-c", "-command", "-e", "-ec", "-enc", "-encodedcommand", "-commandwithargs"],
        value_words: &["-executionpolicy", "-ep", "-ex", "-workingdirectory", "-wd", "-windowstyle", "-w"],
        ..PLAIN
    },
];
/// Languages for reworking text. Their programs are arguments always, and most do no more than that.
pub const AWKS: &[&str] = &["awk", "gawk", "mawk", "nawk", "original-awk"];
/// What such a program says when it does more: it launches another, or opens a connection (gawk, 11.5).
pub const AWK_ORDERS: &[&str] = &["system(", "system (", "/inet"];
/// Programs that run commands as they are told.
pub const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh", "pdksh", "rbash", "fish", "csh", "tcsh",
    "yash",
];
/// One file that is many programs, by the name that it is called by.
pub const MANY_IN_ONE: &[&str] = &["busybox", "toybox"];
/// Options of shells that take a value.
pub const SHELL_VALUES: &[&str] = &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"];
/// Programs that do nothing but run another, which stands somewhere in their arguments (POSIX.1-2017, coreutils,
/// util-linux and their like).
pub const WRAPPERS: &[&str] = &[
    "env", "nice", "ionice", "nohup", "setsid", "timeout", "stdbuf", "time", "xargs", "find", "sudo", "doas",
    "su", "runuser", "setpriv", "unshare", "nsenter", "chroot", "chrt", "taskset", "flock", "script",
    "strace", "ltrace", "watch", "parallel", "busybox", "toybox", "exec", "command", "eval", "ssh",
];
/// Programs that tell an intruder who he is, and who else is there. Those that also tell an application how its host
/// does (`ps`, `df`, `hostname`) are none.
pub const RECONNAISSANCE: &[&str] = &[
    "id", "whoami", "who", "w", "last", "lastlog", "users", "logname", "groups", "printenv", "capsh", "nmap",
    "tcpdump",
];
/// Programs that tell where one is: an intruder asks them first, and so does a page about the state of a server.
pub const HOST: &[&str] = &["uname", "hostnamectl", "ifconfig", "ip", "arp", "route", "netstat", "ss"];
/// Programs that tell how a host does; one types them at a prompt, and a page about the host runs them.
pub const STATE: &[&str] =
    &["df", "du", "free", "uptime", "pgrep", "pidof", "top", "vmstat", "mount", "lsblk", "dmesg", "getent"];
/// Wrappers that take a file, or a place, before the program that they run.
pub const TAKES_A_FILE: &[&str] = &["flock", "ssh", "chroot"];
/// Programs that bring an intruder in or on: raw connections, named pipes for them, accounts, others' memory.
pub const INTRUSION: &[&str] = &[
    "nc",
    "ncat",
    "netcat",
    "nc.openbsd",
    "nc.traditional",
    "socat",
    "telnet",
    "tftp",
    "mkfifo",
    "mknod",
    "chattr",
    "useradd",
    "adduser",
    "usermod",
    "passwd",
    "chpasswd",
    "visudo",
    "gdb",
    "insmod",
    "modprobe",
];
/// What code for an interpreter says, all of a line, when it lets someone in: a connection that it opens, descriptors
/// that it turns to it, a terminal, a shell.
pub const LETS_IN: &[&[&str]] = &[
    &["ocket", "connect"],
    &["net.", "connect"],
    &["fsockopen"],
    &["stream_socket_client"],
    &["TCPSocket"],
    &["TCPServer"],
    &["dup2"],
    &["pty.spawn"],
    &["/bin/sh"],
    &["/bin/bash"],
    &["/dev/tcp/"],
];
/// Files that name the accounts of a host and what opens them, or hold a process's secrets.
pub const SECRETS: &[&str] = &[
    "/etc/passwd",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/environ",
    "/authorized_keys",
    "/serviceaccount/token",
];
/// What one types at a prompt; an application that does the same needs no shell for it.
pub const SESSION: &[&str] = &[
    "cat", "ls", "pwd", "find", "touch", "more", "less", "chmod", "chown", "base64", "xxd", "curl", "wget",
    "scp", "ftp", "sleep", "kill", "pkill", "killall", "script", "lsof", "crontab", "stat", "tee",
];
/// What stands around the programs of a text and says nothing of who wrote it: the shell's own words (POSIX.1-2017,
/// XCU 2.4 and 2.14), and filters.
pub const AROUND: &[&str] = &[
    "", "[", "[[", "]", "]]", "{", "}", "!", "if", "then", "else", "elif", "fi", "for", "while", "until",
    "do", "done", "case", "esac", "in", "break", "continue", "return", "exit", "set", "unset", "shift",
    "trap", "umask", "ulimit", "wait", "read", "local", "export", "readonly", "declare", "cd", "pushd",
    "popd", "source", ".", ":", "true", "false", "test", "echo", "printf", "which", "type", "hash", "alias",
    "grep", "egrep", "fgrep", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "sed", "awk", "gawk",
    "mawk", "date", "hostname", "ps",
];
/// What runtimes and libraries ask of themselves, with just these arguments: Python's `platform` and `uuid`,
/// `ctypes.util`, and their like. Programs ask for one thing; a person asks for all.
pub const ASKED_BY_RUNTIMES: &[&[&str]] = &[
    &["uname", "-p"],
    &["uname", "-m"],
    &["uname", "-r"],
    &["uname", "-s"],
    &["uname", "-n"],
    &["uname", "-o"],
    &["uname", "-v"],
    &["uname", "-sm"],
    &["uname", "-sr"],
    &["uname", "-rs"],
    &["uname", "-sp"],
    &["id", "-u"],
    &["id", "-g"],
    &["id", "-un"],
    &["id", "-gn"],
    &["id", "-Gn"],
    &["ip", "link"],
    &["ifconfig"],
    &["ifconfig", ""],
    &["ifconfig", "-a"],
    &["ifconfig", "-av"],
    &["arp", "-an"],
    &["netstat", "-ia"],
    &["netstat", "-ian"],
];
