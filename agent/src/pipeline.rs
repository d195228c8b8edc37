//! The one way of a fact through the agent, live and on replay.
//!
//! An input is recorded, handled by the engine, and what follows from it is drained at once: spans to the
//! view and the exporter, questions to `/proc` and back as a further input, mutes to whoever asks for them.
//! On replay there is nobody to answer: the recording holds the answers and the ticks.

use crate::{
    export::Exporter,
    filter::Filter,
    recording::{Recorder, WriteError},
    summary::Summary,
    view::View,
};
use std::{io, sync::Arc};
use tracer_engine::{Engine, Input, Output, ProcessFacts, Span, Time};

/// Mutes kept until the live loop takes them, which it does after every drain; muting is only a saving.
const MAX_MUTES: usize = 4096;

/// Why the way of a fact ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    View(io::Error),
    /// The recording cannot be written.
    #[error(transparent)]
    Record(#[from] WriteError),
}

impl Error {
    /// Whether the reader of standard output just went away, which is its right.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::View(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Answers [`Output::DescribeProcess`].
pub type Describe = fn(u32) -> ProcessFacts;

/// The engine with all that surrounds it.
pub struct Pipeline {
    engine: Engine,
    describe: Option<Describe>,
    recorder: Option<Recorder>,
    filter: Filter,
    view: Option<Box<dyn View>>,
    exporter: Option<Exporter>,
    mutes: Vec<(u64, u64)>,
    shown: u64,
}

impl Pipeline {
    /// A pipeline that only concludes; the `with_` functions say what becomes of it.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            describe: None,
            recorder: None,
            filter: Filter::default(),
            view: None,
            exporter: None,
            mutes: Vec::new(),
            shown: 0,
        }
    }

    /// Answers questions about processes: for live runs.
    pub fn with_describe(mut self, describe: Describe) -> Self {
        self.describe = Some(describe);
        self
    }

    /// Records every input.
    pub fn with_recorder(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Shows and exports only what passes.
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Shows spans.
    pub fn with_view(mut self, view: Option<Box<dyn View>>) -> Self {
        self.view = view;
        self
    }

    /// Exports spans.
    pub fn with_exporter(mut self, exporter: Option<Exporter>) -> Self {
        self.exporter = exporter;
        self
    }

    /// Lets only this process and its descendants pass from now on.
    pub fn only_tree_of(&mut self, pid: u32) {
        self.filter.only_tree_of(pid);
    }

    /// Every hook is attached.
    ///
    /// # Errors
    /// When the view cannot be written.
    pub fn ready(&mut self) -> Result<(), Error> {
        self.view.as_mut().map_or(Ok(()), |view| view.ready()).map_err(Error::View)
    }

    /// Takes one input and handles all that follows from it.
    ///
    /// # Errors
    /// When the recording or the view cannot be written; the input is then not handled to its end.
    pub fn feed(&mut self, input: Input<'_>, now: Time) -> Result<(), Error> {
        if let Input::Record(record) = input {
            self.filter.learn(record);
        }
        self.handle(input, now)?;
        while let Some(output) = self.engine.poll_output() {
            self.route(output, now)?;
        }
        Ok(())
    }

    /// When the engine wants an [`Input::Tick`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.engine.poll_timeout()
    }

    /// Sockets whose bytes are no longer wanted, as id and inode, since the last call.
    pub fn take_mutes(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.mutes)
    }

    /// A batch of inputs is through: hands over to the outside what is buffered and due.
    ///
    /// # Errors
    /// Like [`Self::feed`].
    pub fn settle(&mut self, now: Time) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush_if_due(now)?;
        }
        self.view.as_mut().map_or(Ok(()), |view| view.settle(now)).map_err(Error::View)
    }

    /// Ends the run: what is open is concluded, recorded, exported (waiting for it within the exporter's
    /// deadline) and shown, with the summary.
    ///
    /// # Errors
    /// Like [`Self::feed`].
    pub fn finish(mut self, now: Time) -> Result<Summary, Error> {
        // Nobody answers any more, live or on replay: what the engine asks now it asks in vain.
        self.describe = None;
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(now)?;
        }
        self.engine.finish(now);
        while let Some(output) = self.engine.poll_output() {
            self.route(output, now)?;
        }
        let export = self.exporter.take().map(Exporter::finish);
        let summary = Summary::now(self.engine.stats(), self.shown, export);
        if let Some(view) = self.view {
            view.finish(&summary).map_err(Error::View)?;
        }
        Ok(summary)
    }

    fn handle(&mut self, input: Input<'_>, now: Time) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&input, now)?;
        }
        self.engine.handle(input, now);
        Ok(())
    }

    fn route(&mut self, output: Output, now: Time) -> Result<(), Error> {
        match output {
            Output::Span(span) => self.span(Arc::from(span), now),
            Output::DescribeProcess(pid) => match self.describe {
                Some(describe) => self.handle(Input::Process(describe(pid)), now),
                None => Ok(()),
            },
            Output::Mute { id, inode } => {
                if self.mutes.len() < MAX_MUTES {
                    self.mutes.push((id, inode));
                }
                Ok(())
            }
        }
    }

    fn span(&mut self, span: Arc<Span>, now: Time) -> Result<(), Error> {
        let matched = self.filter.matches(&span);
        if matched {
            self.shown += 1;
            if let Some(exporter) = &mut self.exporter {
                exporter.send(&span);
            }
        }
        self.view.as_mut().map_or(Ok(()), |view| view.span(&span, matched, now)).map_err(Error::View)
    }
}
