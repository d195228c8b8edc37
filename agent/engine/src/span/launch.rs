//! Process launches, after the conventions for command-line programs.

use super::{Content, text};
use crate::{SpanKind, Status, Value, graph::Node, launch::Launch};

/// The span of a launch, in a directory where that is known.
pub fn launch(node: &Node, launch: &Launch, directory: Option<&str>) -> Content {
    let image = launch.images.last();
    let path = image.map_or("", |image| image.file.as_str());
    let name = path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("process").to_owned();
    let mut attributes = vec![
        ("process.pid", Value::Int(node.pid.into())),
        ("process.executable.name", text(name.as_bytes())),
        ("process.executable.path", text(path.as_bytes())),
    ];
    if let Some(image) = image {
        attributes.push(("process.parent_pid", Value::Int(image.parent_pid.into())));
        attributes.push(("process.command_args", Value::Strings(image.args.clone())));
        attributes.push(("process.real_user.id", Value::Int(image.uid.into())));
        attributes.push(("process.user.id", Value::Int(image.euid.into())));
        if let Some(fileless) = image.fileless {
            attributes.push(("tracer.process.fileless", Value::Str(fileless.into())));
        }
    }
    if launch.images.len() > 1 {
        let images = launch.images.iter().map(|image| image.args.join(" ")).collect();
        attributes.push(("tracer.process.images", Value::Strings(images)));
    }
    if launch.left_out > 0 {
        attributes.push(("tracer.process.images_left_out", Value::Int(launch.left_out.into())));
    }
    if let Some(directory) = directory {
        attributes.push(("process.working_directory", text(directory.as_bytes())));
    }
    let mut status = Status::Unset;
    if let Some(wait_status) = launch.status {
        let (code, signal) = (wait_status >> 8 & 0xff, wait_status & 0x7f);
        // As a shell says it.
        let code = if signal == 0 { code } else { 128 + signal };
        attributes.push(("process.exit.code", Value::Int(code.into())));
        if code != 0 {
            let error = if signal == 0 { format!("exit {code}") } else { format!("signal {signal}") };
            attributes.push(("error.type", Value::Str(error)));
            status = Status::Error(String::new());
        }
    }
    Content { name, kind: SpanKind::Internal, status, attributes }
}
