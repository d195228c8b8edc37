//! Keeps a running tracer's baseline and its file in step.

use super::file::{Document, FileError, Locked, Stamp, stamp};
use std::path::{Path, PathBuf};
use tracer_engine::{Time, Usual};

/// How often the file is looked at for what others changed: soon after someone accepted a finding.
const LOOK_EVERY_MS: u64 = 1_000;
/// How often what was learned is written: what is lost when the tracer is killed is learned again.
const WRITE_EVERY_MS: u64 = 60_000;

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    /// What the file held when it was last read or written.
    kept: Document,
    stamp: Option<Stamp>,
    /// The file that was looked at last, whether it made sense or not.
    looked_at: Option<Stamp>,
    look_due: Time,
    write_due: Option<Time>,
    /// [`tracer_engine::Engine::baseline_changes`] when it was last written.
    changes: u64,
}

impl Keeper {
    /// Reads the file, or begins one.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense, or its folder cannot be used.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (kept, stamp) = Locked::open(path)?.read()?;
        Ok(Self {
            path: path.to_owned(),
            kept,
            stamp,
            looked_at: stamp,
            look_due: Time(0),
            write_due: None,
            changes: 0,
        })
    }

    /// What the file held.
    pub fn kept(&self) -> impl Iterator<Item = Usual> {
        self.kept.services.values().cloned()
    }

    /// What the engine must take over, since someone changed the file: each service as it is to be from now on.
    /// `learned` gives what the engine knows.
    ///
    /// # Errors
    /// When the file cannot be read, or makes no sense; it is not looked at again until it changes.
    pub fn changed(
        &mut self,
        learned: impl FnOnce() -> Vec<Usual>,
        now: Time,
    ) -> Result<Vec<Usual>, FileError> {
        if now < self.look_due {
            return Ok(Vec::new());
        }
        self.look_due = now.plus_ms(LOOK_EVERY_MS);
        let found = stamp(&self.path);
        if std::mem::replace(&mut self.looked_at, found) == found {
            return Ok(Vec::new());
        }
        let (file, stamp) = Locked::open(&self.path)?.read()?;
        let merged = self.merged(&file, learned());
        let gone = self.kept.services.keys().chain(merged.services.keys());
        let gone = gone.filter(|name| !merged.services.contains_key(*name));
        let gone = gone.map(|name| Usual { service: name.clone(), ..Usual::default() });
        let all = gone.chain(merged.services.values().cloned()).collect();
        (self.kept, self.stamp, self.looked_at) = (file, stamp, stamp);
        // What was learned in the meantime is not in the file yet.
        self.write_due = Some(now);
        Ok(all)
    }

    /// Writes what was learned, if that is due. `changes` counts the engine's, `learned` gives what it knows.
    ///
    /// # Errors
    /// When the file cannot be written; it is tried again later.
    pub fn write_if_due(
        &mut self,
        changes: u64,
        learned: impl FnOnce() -> Vec<Usual>,
        now: Time,
    ) -> Result<(), FileError> {
        let due = *self.write_due.get_or_insert(now.plus_ms(WRITE_EVERY_MS));
        if now < due {
            return Ok(());
        }
        self.write_due = None;
        if std::mem::replace(&mut self.changes, changes) == changes { Ok(()) } else { self.write(learned()) }
    }

    /// Writes what was learned, on top of what others did to the file in the meantime.
    ///
    /// # Errors
    /// When the file cannot be written, or what is there makes no sense.
    pub fn write(&mut self, learned: Vec<Usual>) -> Result<(), FileError> {
        let locked = Locked::open(&self.path)?;
        let document = match stamp(&self.path) {
            now if now == self.stamp => Document::of(learned),
            _ => self.merged(&locked.read()?.0, learned),
        };
        self.stamp = locked.write(&document)?;
        self.looked_at = self.stamp;
        self.kept = document;
        Ok(())
    }

    /// What the file says, and what was learned since it was last in step.
    fn merged(&self, file: &Document, learned: Vec<Usual>) -> Document {
        let mut merged = file.clone();
        let since = learned.into_iter().filter_map(|mut usual| {
            let Some(kept) = self.kept.services.get(&usual.service) else { return Some(usual) };
            usual.habits.retain(|habit| !kept.habits.contains(habit));
            usual.accepted.retain(|habit| !kept.accepted.contains(habit));
            if file.services.contains_key(&usual.service) {
                return Some(usual);
            }
            // One that someone forgot comes back by what it did since only: it is to be learned anew.
            (usual.observed_s, usual.requests, usual.learned) = (0, 0, false);
            (!usual.habits.is_empty()).then_some(usual)
        });
        merged.merge(Document::of(since));
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(service: &str, habits: &[&str]) -> Usual {
        let habits = habits.iter().map(|habit| habit.parse().unwrap()).collect();
        Usual {
            service: service.into(),
            observed_s: 5,
            requests: 7,
            learned: false,
            habits,
            accepted: Vec::new(),
        }
    }

    /// Someone else changes the file.
    fn edit(path: &Path, edit: impl FnOnce(&mut Document)) {
        let locked = Locked::open(path).unwrap();
        let (mut document, _) = locked.read().unwrap();
        edit(&mut document);
        locked.write(&document).unwrap();
    }

    #[test]
    fn what_people_change_comes_in_and_what_was_learned_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let mut keeper = Keeper::open(&path).unwrap();
        let known = || vec![usual("shop", &["edge a:1", "edge b:1"]), usual("till", &["edge t:1"])];
        keeper.write_if_due(1, known, Time(0)).unwrap();
        assert!(!path.exists(), "not at once");
        keeper.write_if_due(1, known, Time(0).plus_ms(WRITE_EVERY_MS)).unwrap();
        assert!(keeper.changed(known, Time(0)).unwrap().is_empty(), "its own writing is no change");

        edit(&path, |document| {
            document.services.remove("till");
            let shop = document.services.get_mut("shop").unwrap();
            shop.habits.remove(0);
            shop.habits.push("relay GET /ws | c:1".parse().unwrap());
        });
        let more =
            || vec![usual("shop", &["edge a:1", "edge b:1", "edge d:1"]), usual("till", &["edge t:1"])];
        let expected = usual("shop", &["edge b:1", "edge d:1", "relay GET /ws | c:1"]);
        assert!(keeper.changed(more, Time(1)).unwrap().is_empty(), "it was just looked at");
        let changed = keeper.changed(more, Time(0).plus_ms(LOOK_EVERY_MS)).unwrap();
        assert_eq!(changed, [Usual { service: "till".into(), ..Usual::default() }, expected.clone()]);
        keeper.write_if_due(2, || vec![expected.clone()], Time(0).plus_ms(LOOK_EVERY_MS)).unwrap();
        assert_eq!(Keeper::open(&path).unwrap().kept().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn who_was_forgotten_is_learned_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let mut keeper = Keeper::open(&path).unwrap();
        let before = Usual { learned: true, ..usual("till", &["edge a:1"]) };
        keeper.write(vec![before]).unwrap();
        edit(&path, |document| document.services.clear());
        let since = || vec![Usual { learned: true, ..usual("till", &["edge a:1", "edge b:1"]) }];
        let cold = Usual { observed_s: 0, requests: 0, ..usual("till", &["edge b:1"]) };
        assert_eq!(keeper.changed(since, Time(0)).unwrap(), [cold]);
    }

    #[test]
    fn what_people_accept_comes_in_and_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let mut keeper = Keeper::open(&path).unwrap();
        keeper.write(vec![usual("shop", &["edge a:1"])]).unwrap();
        let accepted = Usual { accepted: vec!["edge b:1".parse().unwrap()], ..usual("shop", &["edge a:1"]) };
        let given = Usual { habits: Vec::new(), ..accepted.clone() };
        edit(&path, |document| document.merge(Document::of([given])));
        let learned = || vec![usual("shop", &["edge a:1"])];
        assert_eq!(keeper.changed(learned, Time(0)).unwrap(), std::slice::from_ref(&accepted));
        edit(&path, |document| document.services.get_mut("shop").unwrap().accepted.clear());
        let known = || vec![accepted.clone()];
        let changed = keeper.changed(known, Time(0).plus_ms(LOOK_EVERY_MS)).unwrap();
        assert_eq!(changed, [usual("shop", &["edge a:1"])]);
    }

    #[test]
    fn the_last_word_before_the_end_is_kept_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let mut keeper = Keeper::open(&path).unwrap();
        keeper.write(vec![usual("shop", &["edge a:1"])]).unwrap();
        edit(&path, |document| document.merge(Document::of([usual("shop", &["edge b:1"])])));
        keeper.write(vec![usual("shop", &["edge a:1", "edge c:1"])]).unwrap();
        let kept: Vec<_> = Keeper::open(&path).unwrap().kept().collect();
        assert_eq!(kept, [usual("shop", &["edge a:1", "edge b:1", "edge c:1"])]);
    }

    #[test]
    fn a_damaged_file_is_neither_used_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let mut keeper = Keeper::open(&path).unwrap();
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Keeper::open(&path), Err(FileError::Damaged { .. })));
        assert!(keeper.changed(Vec::new, Time(0)).is_err());
        assert!(keeper.changed(Vec::new, Time(0).plus_ms(LOOK_EVERY_MS)).unwrap().is_empty(), "said once");
        assert!(keeper.write(vec![usual("shop", &[])]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }
}
