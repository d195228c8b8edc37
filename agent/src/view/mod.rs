//! What is shown of spans and findings, on standard output.

pub mod json;
pub mod pretty;

use crate::{filter::Asked, summary::Summary};
use std::{
    io::{self, IsTerminal},
    sync::Arc,
};
use tracer_engine::{Finding, Span, Time};

/// One way to show spans and findings.
pub trait View {
    /// Every hook is attached, except for `missing` ones, by name.
    ///
    /// # Errors
    /// When the output cannot be written; so all others.
    fn ready(&mut self, missing: &[&str]) -> io::Result<()>;

    /// A span ended; `asked` says whether it is one of those asked for.
    ///
    /// # Errors
    /// See [`View::ready`].
    fn span(&mut self, span: &Arc<Span>, asked: Asked, now: Time) -> io::Result<()>;

    /// A rule found something that was asked for.
    ///
    /// # Errors
    /// See [`View::ready`].
    fn finding(&mut self, finding: &Arc<Finding>, now: Time) -> io::Result<()>;

    /// A batch is through and time has passed: shows what is due, leaves nothing in a buffer of bytes.
    ///
    /// # Errors
    /// See [`View::ready`].
    fn settle(&mut self, now: Time) -> io::Result<()>;

    /// The run is over: shows the rest, and the summary.
    ///
    /// # Errors
    /// See [`View::ready`].
    fn finish(self: Box<Self>, summary: &Summary) -> io::Result<()>;
}

/// A view on standard output: with colour on a terminal, unless `NO_COLOR` is set.
pub fn on_stdout(kind: crate::cli::View) -> Box<dyn View> {
    let stdout = io::stdout();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let color = stdout.is_terminal() && !no_color;
    // What is buffered leaves at the end of each batch.
    let out = io::BufWriter::new(stdout);
    match kind {
        crate::cli::View::Json => Box::new(json::JsonView::new(out)),
        crate::cli::View::Pretty => {
            Box::new(pretty::PrettyView::new(out, color, jiff::tz::TimeZone::system()))
        }
    }
}
