//! Applications behind a server that speaks to them by another protocol than HTTP.

use crate::servers::{Server, loopback, nginx_with};
use crate::{Address, Stage, environment};
use anyhow::Result;
use std::fs;
use std::process::Command;

/// By which protocol, which is also who runs the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// FastCGI to PHP-FPM.
    Fastcgi,
    /// uwsgi to uWSGI.
    Uwsgi,
}

impl Gateway {
    /// `network.protocol.name`, and what nginx calls its directives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fastcgi => "fastcgi",
            Self::Uwsgi => "uwsgi",
        }
    }

    /// Starts the application with several processes.
    pub fn start(self, stage: &Stage, unix: bool) -> Result<Server> {
        let address = if unix { Address::Unix(stage.path("gateway.sock")) } else { loopback()?.0 };
        let listen = match &address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.display().to_string(),
        };
        let command = match self {
            Self::Fastcgi => php_fpm(stage, &listen)?,
            Self::Uwsgi => uwsgi(&listen)?,
        };
        Server::start(stage, self.name(), command, address)
    }

    /// Starts nginx in front of it; with `keep`, connections to it are kept open.
    pub fn nginx(self, stage: &Stage, application: &Server, keep: bool) -> Result<Server> {
        let (address, port) = loopback()?;
        let kept = keep && self == Self::Fastcgi;
        let directives = fs::read_to_string(environment::app("nginx-gateway.conf"))?
            .replace("@UPSTREAM@", &application.address.to_string())
            .replace("@PROTOCOL@", self.name())
            .replace("@SCRIPT@", &environment::app("gateway.php").display().to_string())
            .replace("@KEEPALIVE@", if kept { "keepalive 16;" } else { "" })
            .replace("@DIRECTIVES@", if kept { "fastcgi_keep_conn on;" } else { "" });
        nginx_with(stage, address, &port.to_string(), &directives)
    }
}

fn php_fpm(stage: &Stage, listen: &str) -> Result<Command> {
    let text = fs::read_to_string(environment::app("php-fpm.conf"))?
        .replace("@FOLDER@", &stage.folder().display().to_string())
        .replace("@LISTEN@", listen);
    let file = stage.path("php-fpm.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(environment::program("php-fpm")?);
    // Without the machine's settings, in the foreground, as root.
    command.args(["-n", "-F", "-R", "-y"]).arg(file);
    Ok(command)
}

fn uwsgi(listen: &str) -> Result<Command> {
    let mut command = Command::new(environment::program("uwsgi")?);
    command.args(["--master", "--processes", "4", "--need-app", "--chmod-socket=666", "--plugin", "python3"]);
    command.args(["--socket", listen, "--wsgi-file"]).arg(environment::app("gateway.py"));
    Ok(command)
}
