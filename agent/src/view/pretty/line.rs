//! One span as one line of text.

use super::{
    tree::{Line, Place},
    words::{clean, client, command, peer, service, short, target, text},
};
use crate::{
    attributes::{attribute, int, strings},
    filter::duration,
};
use anstyle::{AnsiColor, Style as Ansi};
use jiff::{Timestamp, tz::TimeZone};
use tracer_engine::{Severity, Span, SpanEvent, SpanKind, Status, Value};

/// Width of the time before a root: its children stand under what follows.
pub const TIME_WIDTH: usize = 14;
/// From this confidence on, a link that had no rival is drawn without a mark.
const CERTAIN: f64 = 0.95;

/// How lines look.
#[derive(Clone, Debug)]
pub struct Style {
    /// With colour.
    pub color: bool,
    /// Whose time.
    pub zone: TimeZone,
}

impl Style {
    /// The line, without its line feed.
    pub fn line(&self, line: &Line) -> String {
        let span = &line.span;
        let head = match line.place {
            Place::Child => " ".repeat(TIME_WIDTH),
            _ => format!("{:<TIME_WIDTH$}", self.time(span.start_unix_nano)),
        };
        let what = match span.kind {
            SpanKind::Internal => self.launch(span),
            SpanKind::Server | SpanKind::Client => self.exchange(span),
        };
        let note = match line.place {
            Place::Stray => "  (caller not traced)".into(),
            Place::Flat => "  (tree not shown)".into(),
            Place::Root => String::new(),
            Place::Child => doubt(span).map_or(String::new(), |doubt| format!("  {doubt}")),
        };
        let branch = self.dim(&format!("{head}{}", line.branch));
        format!("{branch}{what}{}{}", self.marks(span), self.dim(&note))
    }

    /// The rules that found something about a span, in the colour of how bad it is.
    fn marks(&self, span: &Span) -> String {
        let rules = strings(span, "tracer.finding.rules").iter();
        rules
            .map(|rule| format!("  {}", self.paint(alarm(severity(span, rule)), &format!("! {rule}"))))
            .collect()
    }

    /// A text that is less important.
    pub fn dim(&self, text: &str) -> String {
        self.paint(Ansi::new().dimmed(), text)
    }

    fn exchange(&self, span: &Span) -> String {
        let method = text(span, "http.request.method_original")
            .or_else(|| text(span, "http.request.method"))
            .unwrap_or_else(|| clean(&span.name));
        let peer = match span.kind {
            SpanKind::Client => peer(span).map(|peer| format!(" → {peer}")),
            _ => client(span).map(|client| format!("  from {client}")),
        };
        format!(
            "{} {}  {}  {}  {}{}",
            self.paint(Ansi::new().bold(), &method),
            target(span),
            self.status(span),
            short(duration(span)),
            service(span),
            peer.unwrap_or_default()
        )
    }

    fn launch(&self, span: &Span) -> String {
        let command = match strings(span, "process.command_args") {
            [] => text(span, "process.executable.name").unwrap_or_else(|| clean(&span.name)),
            words => command(words),
        };
        let end = match int(span, "process.exit.code") {
            Some(0) => self.paint(AnsiColor::Green.on_default(), "exit 0"),
            Some(code) => {
                // A signal, where it was one.
                let words = failure(span).unwrap_or_else(|| format!("exit {code}"));
                self.paint(AnsiColor::Red.on_default(), &words)
            }
            None => {
                self.paint(AnsiColor::Yellow.on_default(), &failure(span).unwrap_or("exit unknown".into()))
            }
        };
        // The resource is the service that launched it.
        let pid = int(span, "process.pid").unwrap_or(span.resource.pid.into());
        format!("$ {command}  {end}  {}  pid {pid}", short(duration(span)))
    }

    /// The status code in the colour of its class, or why there is none.
    fn status(&self, span: &Span) -> String {
        let code = int(span, "http.response.status_code");
        let color = match code.map(|code| code / 100) {
            Some(1..=2) => AnsiColor::Green,
            Some(3) => AnsiColor::Cyan,
            Some(4) => AnsiColor::Yellow,
            _ => AnsiColor::Red,
        };
        let words =
            code.map_or_else(|| failure(span).unwrap_or("no response".into()), |code| code.to_string());
        self.paint(color.on_default(), &words)
    }

    /// A text in a colour, where there are colours.
    pub fn paint(&self, style: Ansi, text: &str) -> String {
        if self.color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// The time of day.
    pub fn time(&self, unix_nano: u64) -> String {
        let time = Timestamp::from_nanosecond(unix_nano.into()).unwrap_or_default();
        time.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string()
    }
}

/// The colour of a severity; of an unknown one that of the worst.
pub fn alarm(severity: Option<Severity>) -> Ansi {
    match severity {
        Some(Severity::Info) => AnsiColor::Cyan.on_default(),
        Some(Severity::Low) => AnsiColor::Blue.on_default(),
        Some(Severity::Medium) => AnsiColor::Yellow.on_default().bold(),
        Some(Severity::High) => AnsiColor::Red.on_default().bold(),
        Some(Severity::Critical) | None => AnsiColor::White.on(AnsiColor::Red).bold(),
    }
}

/// How bad it is what a rule says of a span, by the event that the finding of its family left there.
fn severity(span: &Span, rule: &str) -> Option<Severity> {
    let family = |rule: &str| rule.split('.').next().map(str::to_owned);
    let texts = |event: &SpanEvent, key: &str| match event.attributes.iter().find(|(k, _)| *k == key) {
        Some((_, value)) => value.text().map(str::to_owned),
        None => None,
    };
    let is_of_family =
        |event: &&SpanEvent| texts(event, "security_rule.name").and_then(|r| family(&r)) == family(rule);
    let name = texts(span.events.iter().find(is_of_family)?, "tracer.finding.severity")?;
    Severity::ALL.into_iter().find(|severity| severity.name() == name)
}

/// How sure it is that a span was caused by the one it stands under, where that is not certain.
fn doubt(span: &Span) -> Option<String> {
    let Some(Value::Float(confidence)) = attribute(span, "tracer.link.confidence") else { return None };
    let candidates = int(span, "tracer.link.candidates").unwrap_or(1);
    if *confidence >= CERTAIN && candidates <= 1 {
        return None;
    }
    // Cut, not rounded: what is open to doubt must not read 1.00.
    let percent = (confidence * 100.0 + 1e-6).floor().min(99.0);
    let of = if candidates > 1 { format!(" of {candidates}") } else { String::new() };
    Some(format!("~{:.2}{of}", percent / 100.0))
}

/// Why something failed, in the span's own words.
fn failure(span: &Span) -> Option<String> {
    match &span.status {
        Status::Error(words) if !words.is_empty() => Some(clean(words)),
        _ => text(span, "error.type").or_else(|| text(span, "tracer.incomplete")),
    }
}
