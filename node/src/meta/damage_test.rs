//! Files that cannot be trusted: each is refused with its name and the place, and stays as it is; none ever passes for
//! another log. And disks that are full or slow.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use openraft::entry::RaftEntry as _;
use openraft::vote::RaftLeaderId as _;
use tempfile::TempDir;

use super::super::disk::Op;
use super::super::types::{Entry, LeaderId, LogId, SnapshotMeta, Vote};
use super::super::writer::encode_registry;
use super::*;

fn at(index: u64) -> LogId {
    LogId::new(LeaderId::new(3, 1).to_committed(), index)
}

fn entry(index: u64) -> (u64, Vec<u8>) {
    (index, disk::encode(&Entry::new_blank(at(index))))
}

fn vote(term: u64) -> Op {
    Op::Vote(Vote {
        leader_id: LeaderId::new(term, 1),
        committed: true,
    })
}

fn snapshot(upto: u64) -> Op {
    let about = SnapshotMeta {
        last_log_id: Some(at(upto)),
        ..SnapshotMeta::default()
    };
    Op::Snapshot(about, encode_registry(&Registry::default()).unwrap())
}

/// A vote, a snapshot and the log's entries from 31 to 399, committed up to 390.
fn history() -> Vec<Vec<Op>> {
    let mut commits = vec![vec![vote(3)]];
    commits.extend((0..400).map(|i| vec![Op::Append(vec![entry(i)])]));
    commits.push(vec![snapshot(30)]);
    commits.push(vec![Op::Purge(at(30)), Op::Committed(Some(at(390)))]);
    commits.push(vec![vote(4)]);
    commits
}

struct Home {
    _temp: TempDir,
    dir: DataDir,
    file: PathBuf,
}

impl Home {
    fn with(commits: &[Vec<Op>]) -> Self {
        let home = Self::new();
        let (mut disk, _) = disk::open(&home.dir).unwrap();
        for ops in commits {
            disk.commit(ops).unwrap();
        }
        drop(disk);
        home
    }

    /// As a kill leaves it: written, and not closed.
    fn killed(commits: &[Vec<Op>]) -> Self {
        let home = Self::new();
        let (mut disk, _) = disk::open(&home.dir).unwrap();
        for ops in commits {
            disk.commit(ops).unwrap();
        }
        let bytes = fs::read(&home.file).unwrap();
        drop(disk);
        fs::write(&home.file, bytes).unwrap();
        home
    }

    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let file = dir.registry_file();
        Self {
            _temp: temp,
            dir,
            file,
        }
    }

    fn examine(&self) -> Result<String, DiskError> {
        let found = disk::examine(&self.file, self.dir.node_id(), self.dir.disk_fault());
        found.map(|(_, loaded)| format!("{loaded:?}"))
    }

    /// Opens this instead of the file: the same content, or refused by name and place and left alone.
    fn try_out(&self, bytes: &[u8], content: &str, what: &str) -> bool {
        fs::write(&self.file, bytes).unwrap();
        match self.examine() {
            Ok(found) => {
                assert_eq!(found, content, "{what}: passes for another log");
                let (_, loaded) = disk::open(&self.dir).expect("it was examined");
                assert_eq!(format!("{loaded:?}"), content, "{what}: opened as another log");
                true
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    matches!(error, DiskError::Damaged { at: Some(_), .. }),
                    "{what}: {text}"
                );
                assert!(
                    text.contains(&self.file.display().to_string()) && text.contains("at offset "),
                    "{what}: {text}"
                );
                assert!(text.contains("--join"), "{what}: {text}");
                assert!(
                    fs::read(&self.file).unwrap() == bytes,
                    "{what}: the file was touched"
                );
                false
            }
        }
    }
}

/// Pages that hold something; the rest of the file is zeros.
fn used(whole: &[u8]) -> Vec<usize> {
    let page = 4096;
    (0..whole.len() / page)
        .filter(|n| whole[n * page..(n + 1) * page].iter().any(|b| *b != 0))
        .flat_map(|n| n * page..(n + 1) * page)
        .collect()
}

/// Between two flipped bytes; every 97th takes four times as long and is caught as well.
const STEP: usize = 389;

fn flips_are_caught(home: &Home) {
    let content = home.examine().unwrap();
    let whole = fs::read(&home.file).unwrap();
    let header = (0..320).map(|offset| (offset, 0x55));
    let flags = (0..8).map(|bit| (9, 1 << bit));
    let pages = used(&whole)
        .into_iter()
        .step_by(STEP)
        .map(|offset| (offset, 0x10));
    let (mut refused, mut opened) = (0, 0);
    for (offset, flip) in header.chain(flags).chain(pages) {
        let mut bytes = whole.clone();
        bytes[offset] ^= flip;
        if home.try_out(&bytes, &content, &format!("byte {offset} flipped by {flip:#x}")) {
            opened += 1;
        } else {
            refused += 1;
        }
    }
    assert!(refused > 100 && opened > 0, "{refused} refused, {opened} opened");
}

#[test]
fn a_flipped_bit_is_named_with_its_place_or_changes_nothing() {
    flips_are_caught(&Home::with(&history()));
}

#[test]
fn a_flipped_bit_in_a_killed_nodes_file_never_brings_back_an_older_vote() {
    flips_are_caught(&Home::killed(&history()));
}

#[test]
fn a_file_cut_short_is_damaged_where_it_ends() {
    for home in [Home::with(&history()), Home::killed(&history())] {
        let content = home.examine().unwrap();
        let whole = fs::read(&home.file).unwrap();
        let last_used = used(&whole).last().copied().unwrap();
        let places = [
            0,
            1,
            9,
            11,
            100,
            319,
            320,
            4095,
            4096,
            4097,
            last_used / 2,
            last_used,
        ];
        for keep in places
            .into_iter()
            .chain((0..whole.len()).step_by(whole.len() / 61))
        {
            let opened = home.try_out(&whole[..keep], &content, &format!("cut after {keep} bytes"));
            assert!(!opened || keep > last_used, "cut after {keep} bytes and used");
        }
    }
    let home = Home::with(&history());
    let whole = fs::read(&home.file).unwrap();
    fs::write(&home.file, &whole[..8192]).unwrap();
    let text = home.examine().unwrap_err().to_string();
    assert!(text.contains("at offset 8192"), "{text}");
}

#[test]
fn the_place_is_the_page_of_the_flipped_bit() {
    let home = Home::with(&history());
    let mut bytes = fs::read(&home.file).unwrap();
    let needle = disk::encode(&Entry::new_blank(at(200)));
    let offset = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    bytes[offset] ^= 1;
    fs::write(&home.file, &bytes).unwrap();
    let Err(DiskError::Damaged { at: Some(place), .. }) =
        disk::examine(&home.file, home.dir.node_id(), home.dir.disk_fault())
    else {
        panic!("a flipped bit in an entry");
    };
    let found = place.offset..place.offset + place.len;
    assert!(found.contains(&(offset as u64)), "{offset} is not in {place:?}");
}

/// Killed between the founding entry, which is of term 0, and the first vote.
#[test]
fn a_founder_that_died_before_it_voted_has_a_sound_log() {
    let founding = LogId::new(LeaderId::new(0, 0).to_committed(), 0);
    let entry = (0, disk::encode(&Entry::new_blank(founding)));
    let home = Home::with(&[vec![Op::Append(vec![entry])]]);
    home.examine().unwrap();
}

#[test]
fn what_cannot_belong_together_is_refused_with_its_place() {
    let cases: [(&str, Vec<Op>); 7] = [
        (
            "log entry 7 is missing, 8 is the next",
            vec![vote(3), Op::Append(vec![entry(6), entry(8)])],
        ),
        (
            "log entry 6 holds what belongs elsewhere",
            vec![vote(3), Op::Append(vec![(6, entry(5).1)])],
        ),
        (
            "committed up to",
            vec![vote(3), Op::Append(vec![entry(6)]), Op::Committed(Some(at(9)))],
        ),
        ("the last vote is", vec![vote(2), Op::Append(vec![entry(6)])]),
        ("the last vote is none", vec![Op::Append(vec![entry(6)])]),
        (
            "the log begins after",
            vec![vote(3), Op::Append(vec![entry(6)]), Op::Purge(at(6))],
        ),
        (
            "log entry 6",
            vec![vote(3), Op::Append(vec![(6, vec![0xff; 40])])],
        ),
    ];
    for (why, mut ops) in cases {
        let begins = (0..6).map(entry).collect();
        ops.insert(0, Op::Append(begins));
        let home = Home::with(&[ops]);
        let error = home.examine().unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(why) && text.contains(" at offset "),
            "{why}: {text}"
        );
        assert!(
            matches!(error, DiskError::Damaged { at: Some(at), .. } if at.offset > 0),
            "{text}"
        );
    }
}

#[test]
fn a_missing_file_is_a_loss_and_not_a_beginning() {
    let home = Home::with(&history());
    fs::remove_file(&home.file).unwrap();
    let error = disk::open(&home.dir).unwrap_err();
    assert!(matches!(error, DiskError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("recover --from-survivor"), "{error}");
    assert!(!home.file.exists());
}

#[test]
fn another_nodes_file_is_refused() {
    let (home, other) = (Home::with(&history()), Home::new());
    fs::copy(&home.file, &other.file).unwrap();
    let error = disk::open(&other.dir).unwrap_err();
    assert!(
        matches!(error, DiskError::Foreign { found, .. } if found == home.dir.node_id()),
        "{error}"
    );
}

#[test]
fn a_file_in_use_is_not_looked_at() {
    let home = Home::with(&history());
    let (held, _) = disk::open(&home.dir).unwrap();
    let error = disk::open(&home.dir).unwrap_err();
    assert!(matches!(error, DiskError::InUse { .. }), "{error}");
    drop(held);
    home.examine().unwrap();
}

#[test]
fn a_full_disk_refuses_and_keeps_what_was_acknowledged() {
    for full_above in [0, 4096, 40_960, 1_200_000, 1_600_000] {
        let home = Home::new();
        let (mut disk, _) = disk::open(&home.dir).unwrap();
        disk.commit(&[vote(3)]).unwrap();
        disk.commit(&[Op::Append(vec![entry(0)])]).unwrap();
        home.dir.disk_fault().set_full_above(Some(full_above));
        let mut acknowledged = 1;
        let error = loop {
            // Of a real size, or the file is large enough for all of them.
            let mut bytes = entry(acknowledged).1;
            bytes.resize(20_000, 0);
            match disk.commit(&[Op::Append(vec![(acknowledged, bytes)])]) {
                Ok(_) => acknowledged += 1,
                Err(e) => break e,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        assert!(
            disk.commit(&[vote(9)]).is_err(),
            "nothing is written after a failure"
        );
        drop(disk);
        home.dir.disk_fault().set_full_above(None);
        let (_, loaded) = disk::open(&home.dir).unwrap();
        assert_eq!(
            loaded.entries.len() as u64,
            acknowledged,
            "full above {full_above}"
        );
        assert_eq!(loaded.vote.unwrap().leader_id.term, 3);
    }
}

#[tokio::test]
async fn a_write_that_fails_names_the_file_the_error_and_the_remedy() {
    let home = Home::new();
    let store = Store::open(&home.dir).unwrap();
    store.writer.write(vote(3)).await.unwrap();
    assert_eq!(store.writer.failure(), None);
    home.dir.disk_fault().set_full_above(Some(0));
    store.writer.write(vote(4)).await.unwrap_err();
    store.writer.write(vote(5)).await.unwrap_err();
    let text = store.writer.failure().unwrap().to_string();
    for part in [&home.file.display().to_string(), "no storage space", "make room"] {
        assert!(text.contains(part), "{text}");
    }
    store.writer.close().await;
}

#[tokio::test]
async fn a_slow_disk_makes_every_commit_as_late_as_it_is_told() {
    let home = Home::new();
    let store = Store::open(&home.dir).unwrap();
    store.writer.write(vote(3)).await.unwrap();
    home.dir.disk_fault().set_slow(Duration::from_millis(30));
    store.writer.write(vote(4)).await.unwrap();
    // Two syncs a commit: what is written, then that it counts.
    assert!(store.writer.stats().commit_us_max >= 60_000);
    home.dir.disk_fault().set_slow(Duration::ZERO);
    store.writer.close().await;
}
