//! A finding as a block of text, where the eye falls.

use super::{
    line::{Style, TIME_WIDTH, alarm},
    words::{clean, client, command, service, short, target, text},
};
use crate::attributes::{int, of_resource, string, strings};
use anstyle::Style as Ansi;
use std::time::Duration;
use tracer_engine::{Evidence, Finding};

impl Style {
    /// How bad and what, by which rule and how sure, whose and who, the span, the evidence.
    pub fn finding(&self, finding: &Finding) -> Vec<String> {
        let color = alarm(Some(finding.severity));
        let badge = self.paint(color, &format!(" {} ", finding.severity.name().to_uppercase()));
        let time = self.dim(&format!("{:<TIME_WIDTH$}", self.time(finding.time_unix_nano)));
        let title = self.paint(Ansi::new().bold(), &clean(&finding.title));
        let span = finding.span.map(|(trace, span)| self.dim(&format!("trace {trace}  span {span}")));
        let below = [Some(self.facts(finding)), Some(whose(finding)), span];
        let evidence = finding.evidence.iter().map(|fact| self.fact(finding, fact));
        let edge = format!("{}{} ", " ".repeat(TIME_WIDTH), self.paint(color, "│"));
        let below = below.into_iter().flatten().chain(evidence).map(|line| format!("{edge}{line}"));
        std::iter::once(format!("{time}{badge} {title}")).chain(below).collect()
    }

    fn facts(&self, finding: &Finding) -> String {
        let Finding { rule, confidence, .. } = finding;
        let also = strings(finding, "tracer.finding.rules").iter().filter(|other| *other != rule);
        let also: String = also.map(|other| format!(", {other}")).collect();
        let rule = self.paint(alarm(Some(finding.severity)), rule);
        let techniques: String =
            strings(finding, "threat.technique.id").iter().map(|id| format!(" {id}")).collect();
        let techniques = techniques.replacen(' ', "  ATT&CK ", 1);
        let rest = format!("{}{techniques}", also.replacen(", ", "  also ", 1));
        format!("{rule}  {}{}", confidence.name(), self.dim(&rest))
    }

    /// When, from the first fact on, and what.
    fn fact(&self, finding: &Finding, fact: &Evidence) -> String {
        let begin = finding.time_unix_nano;
        let sign = if fact.time_unix_nano < begin { "-" } else { "+" };
        let apart = short(Duration::from_nanos(fact.time_unix_nano.abs_diff(begin)));
        format!("{} {}", self.dim(&format!("{:>10}", format!("{sign}{apart}"))), clean(&fact.text))
    }
}

/// Digits of a container's name that are shown, as its runtimes do.
const SHORT_ID: usize = 12;

/// The process and where it runs, what it was asked or what it launched, as whom, and by whom.
fn whose(finding: &Finding) -> String {
    let mut words = vec![service(finding)];
    let place = |key| of_resource(finding, key).map(clean);
    words.extend(place("k8s.pod.uid").map(|uid| format!("pod {uid}")));
    words.extend(place("container.id").map(|id| {
        let short: String = id.chars().take(SHORT_ID).collect();
        format!("container {short}")
    }));
    if let Some(method) =
        text(finding, "http.request.method_original").or(text(finding, "http.request.method"))
    {
        let known = string(finding, "url.path").or(string(finding, "url.full")).is_some();
        words.push(if known { format!("{method} {}", target(finding)) } else { method });
    }
    if let command_args @ [_, ..] = strings(finding, "process.command_args") {
        let pid = int(finding, "process.pid").map_or(String::new(), |pid| format!("  pid {pid}"));
        let user = int(finding, "process.user.id").map_or(String::new(), |user| format!("  user {user}"));
        words.push(format!("$ {}{pid}{user}", command(command_args)));
    }
    words.extend(client(finding).map(|client| format!("from {client}")));
    words.join("  ")
}
