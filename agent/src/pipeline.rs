//! The one way of a fact through the agent, live and on replay.
//!
//! An input is recorded, handled by the engine, and what follows from it is drained at once: spans and findings
//! to the view and the exporter, questions to whoever reads `/proc`, wishes to the kernel side. An answer is a
//! further input, recorded when it comes. On replay there is nobody to answer: the recording holds the answers
//! and the ticks.

use crate::{
    baseline::{FileError, Keeper},
    describer::Describer,
    export::Exporter,
    filter::{Asked, Filter},
    recording::{Recorder, WriteError},
    summary::{Summary, Told},
    trace::say,
    view::View,
};
use std::{io, sync::Arc};
use tracer_engine::{Engine, Finding, Input, Output, Span, Time};

/// Wishes kept until the live loop takes them, which it does after every drain; none is needed to be right.
const MAX_WISHES: usize = 4096;

/// What the engine wants of the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more bytes of the socket with this [`tracer_common::Sock::id`] and inode.
    Mute {
        /// Identity.
        id: u64,
        /// Inode.
        inode: u64,
        /// Whether its turns are still wanted.
        turns: bool,
    },
    /// Which threads of this process wake each other.
    Watch(u32),
    /// That no more.
    Unwatch(u32),
}

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
        match self {
            Self::View(error) => error.kind() == io::ErrorKind::BrokenPipe,
            Self::Record(error) => error.is_closed_pipe(),
        }
    }
}

/// Takes a closed standard output for the end of the run, and no error: what is queued is still to be
/// delivered by [`Pipeline::finish`].
///
/// # Errors
/// Every other one.
pub fn unless_closed<T: Default>(result: Result<T, Error>) -> Result<T, Error> {
    match result {
        Err(error) if error.is_closed_pipe() => Ok(T::default()),
        result => result,
    }
}

/// The engine with all that surrounds it.
pub struct Pipeline {
    engine: Engine,
    describer: Option<Describer>,
    recorder: Option<Recorder>,
    filter: Filter,
    view: Option<Box<dyn View>>,
    /// The reader of the view went away; said when the batch is through.
    view_closed: bool,
    exporter: Option<Exporter>,
    keeper: Option<Keeper>,
    /// Why the baseline was not kept last; nothing when it was.
    unkept: Option<String>,
    wishes: Vec<Wish>,
    told: Told,
}

impl Pipeline {
    /// A pipeline that only concludes; the `with_` functions say what becomes of it.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            describer: None,
            recorder: None,
            filter: Filter::default(),
            view: None,
            view_closed: false,
            exporter: None,
            keeper: None,
            unkept: None,
            wishes: Vec::new(),
            told: Told::default(),
        }
    }

    /// Answers questions about processes: for live runs.
    pub fn with_describer(mut self, describer: Describer) -> Self {
        self.describer = Some(describer);
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

    /// Shows spans and findings.
    pub fn with_view(mut self, view: Option<Box<dyn View>>) -> Self {
        self.view = view;
        self
    }

    /// Exports spans and findings.
    pub fn with_exporter(mut self, exporter: Option<Exporter>) -> Self {
        self.exporter = exporter;
        self
    }

    /// Keeps what the engine learns.
    pub fn with_keeper(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper;
        self
    }

    /// Lets only this process and its descendants pass from now on.
    pub fn only_tree_of(&mut self, pid: u32) {
        self.filter.only_tree_of(pid);
    }

    /// Every hook is attached, except for `missing` ones, by name.
    ///
    /// # Errors
    /// When the view cannot be written.
    pub fn ready(&mut self, missing: &[&str]) -> Result<(), Error> {
        self.show(|view| view.ready(missing))
    }

    /// Takes one input and handles all that follows from it.
    ///
    /// # Errors
    /// When the recording or the view cannot be written; the input is then not handled to its end.
    pub fn feed(&mut self, input: Input<'_>, now: Time) -> Result<(), Error> {
        if let Input::Record(record) = input {
            self.filter.learn(record);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&input, now)?;
        }
        self.engine.handle(input, now);
        while let Some(output) = self.engine.poll_output() {
            self.route(output, now)?;
        }
        Ok(())
    }

    /// When the engine wants an [`Input::Tick`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.engine.poll_timeout()
    }

    /// What the engine wants of the kernel side, since the last call.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Takes the answers about processes that have come. Whether more are to come.
    ///
    /// # Errors
    /// Like [`Self::feed`].
    pub fn take_answers(&mut self, now: Time) -> Result<bool, Error> {
        while let Some(facts) = self.describer.as_mut().and_then(Describer::answer) {
            self.feed(Input::Process(facts), now)?;
        }
        Ok(self.describer.as_ref().is_some_and(Describer::is_asked))
    }

    /// A batch of inputs is through: hands over to the outside what is buffered and due.
    ///
    /// # Errors
    /// Like [`Self::feed`]; and when the view's reader went away, which nothing else says.
    pub fn settle(&mut self, now: Time) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            recorder.flush_if_due(now)?;
        }
        self.keep(now)?;
        self.show(|view| view.settle(now))?;
        self.ensure_open()
    }

    /// Keeps the baseline and its file in step. What goes wrong there ends no tracing.
    fn keep(&mut self, now: Time) -> Result<(), Error> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let changes = self.engine.baseline_changes();
        let (changed, unread) = match keeper.changed(|| self.engine.baseline(), now) {
            Ok(changed) => (changed, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let unwritten = match changed.is_empty() {
            true => keeper.write_if_due(changes, || self.engine.baseline(), now).err(),
            false => None,
        };
        self.complain(unread);
        self.complain(unwritten);
        changed.into_iter().try_for_each(|usual| self.feed(Input::Baseline(usual), now))
    }

    /// Says why the baseline is not kept, once for each reason.
    fn complain(&mut self, error: Option<FileError>) {
        let Some(reason) = error.map(|error| error.to_string()) else { return };
        if self.unkept.as_ref() != Some(&reason) {
            say(&format!("tracer: {reason}. What is learned is not kept"));
            self.unkept = Some(reason);
        }
    }

    /// Ends the run: what is open is concluded, recorded, exported (waiting for it within the exporter's
    /// deadline) and shown, with the summary. That the view's reader went away is no error here: it is its right,
    /// and what the run came to counts all the same.
    ///
    /// # Errors
    /// When the recording or the view cannot be written.
    pub fn finish(mut self, now: Time) -> Result<Summary, Error> {
        // Nobody answers any more, live or on replay: what the engine asks now it asks in vain.
        let undescribed = self.describer.take().map_or(0, |describer| describer.unanswered());
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(now)?;
        }
        self.engine.finish(now);
        while let Some(output) = self.engine.poll_output() {
            self.route(output, now)?;
        }
        if let Some(mut keeper) = self.keeper.take() {
            let unwritten = keeper.write(self.engine.baseline()).err();
            self.complain(unwritten);
        }
        let export = self.exporter.take().map(Exporter::finish);
        let summary = Summary::now(self.engine.stats(), self.told, undescribed, export);
        let shown = self.view.take().map_or(Ok(()), |view| view.finish(&summary).map_err(Error::View));
        unless_closed(shown)?;
        Ok(summary)
    }

    fn route(&mut self, output: Output, now: Time) -> Result<(), Error> {
        match output {
            Output::Span(span) => self.span(Arc::from(span), now),
            Output::Finding(finding) => self.finding(Arc::from(finding), now),
            Output::DescribeProcess(pid) => {
                if let Some(describer) = &mut self.describer {
                    describer.ask(pid);
                }
                Ok(())
            }
            Output::Mute { id, inode, turns } => self.wish(Wish::Mute { id, inode, turns }),
            Output::WatchThreads(pid) => self.wish(Wish::Watch(pid)),
            Output::UnwatchThreads(pid) => self.wish(Wish::Unwatch(pid)),
        }
    }

    fn wish(&mut self, wish: Wish) -> Result<(), Error> {
        if self.wishes.len() < MAX_WISHES {
            self.wishes.push(wish);
        }
        Ok(())
    }

    fn span(&mut self, span: Arc<Span>, now: Time) -> Result<(), Error> {
        let asked = self.filter.span(&span);
        if asked == Asked::Yes {
            self.told.spans += 1;
            if let Some(exporter) = &mut self.exporter {
                exporter.span(&span);
            }
        }
        self.show(|view| view.span(&span, asked, now))
    }

    fn finding(&mut self, finding: Arc<Finding>, now: Time) -> Result<(), Error> {
        if !self.filter.finding(&finding) {
            return Ok(());
        }
        self.told.findings += 1;
        self.told.worst = self.told.worst.max(Some(finding.severity));
        if let Some(exporter) = &mut self.exporter {
            exporter.finding(&finding);
        }
        self.show(|view| view.finding(&finding, now))
    }

    /// Has the view do something. Once its reader went away there is none any more.
    fn show(&mut self, act: impl FnOnce(&mut dyn View) -> io::Result<()>) -> Result<(), Error> {
        match self.view.as_mut().map_or(Ok(()), |view| act(view.as_mut())) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.view = None;
                self.view_closed = true;
                Ok(())
            }
            result => result.map_err(Error::View),
        }
    }

    fn ensure_open(&self) -> Result<(), Error> {
        if self.view_closed { Err(Error::View(io::ErrorKind::BrokenPipe.into())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
