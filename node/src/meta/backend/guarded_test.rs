//! The file under faults: what a kill leaves of it, and what is read meanwhile. The drop of a file that was not closed stands for
//! the kill.

use std::cell::RefCell;
use std::path::PathBuf;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use tempfile::TempDir;

use super::*;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("t");

thread_local! {
    static PATH: RefCell<PathBuf> = RefCell::default();
    /// The file as a kill at each pause would have left it.
    static LEFT: RefCell<Vec<Vec<u8>>> = RefCell::default();
    static PAUSED: RefCell<Vec<Duration>> = RefCell::default();
}

fn note(time: Duration) {
    let left = PATH.with_borrow(|path| std::fs::read(path).unwrap());
    LEFT.with_borrow_mut(|all| all.push(left));
    PAUSED.with_borrow_mut(|all| all.push(time));
}

struct Rig {
    temp: TempDir,
    fault: Arc<DiskFault>,
}

impl Rig {
    fn new() -> Self {
        let rig = Self {
            temp: TempDir::new().unwrap(),
            fault: Arc::default(),
        };
        std::fs::File::create(rig.path()).unwrap();
        PATH.set(rig.path());
        rig
    }

    fn path(&self) -> PathBuf {
        self.temp.path().join("file")
    }

    fn open(&self) -> Guarded {
        Guarded::pausing(&self.path(), Arc::clone(&self.fault), note).unwrap()
    }

    fn on_disk(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn keys_of(&self, image: &[u8]) -> Vec<u64> {
        let copy = self.temp.path().join("copy");
        std::fs::write(&copy, image).unwrap();
        keys(&Database::open(copy).unwrap())
    }
}

fn put(database: &Database, key: u64) {
    let mut write = database.begin_write().unwrap();
    write.set_two_phase_commit(true);
    {
        let mut table = write.open_table(TABLE).unwrap();
        table.insert(key, [7; 3000].as_slice()).unwrap();
    }
    write.commit().unwrap();
}

fn keys(database: &Database) -> Vec<u64> {
    let read = database.begin_read().unwrap();
    let table = read.open_table(TABLE).unwrap();
    let rows = redb::ReadableTable::iter(&table).unwrap();
    rows.map(|row| row.unwrap().0.value()).collect()
}

fn bytes(file: &Guarded) -> Vec<u8> {
    file.image().unwrap().unwrap()
}

#[test]
fn a_lost_tail_is_what_was_not_synced_and_is_read_until_then() {
    let rig = Rig::new();
    let file = rig.open();
    file.write(0, b"old").unwrap();
    rig.fault.set_held(Some(Held::Whole));
    file.write(1, b"synced").unwrap();
    assert_eq!((bytes(&file), rig.on_disk()), (b"osynced".into(), b"old".into()));
    file.sync_data().unwrap();
    assert_eq!(rig.on_disk(), b"osynced");
    file.set_len(2).unwrap();
    file.write(2, b"lost").unwrap();
    assert_eq!(bytes(&file), b"oslost");
    drop(file);
    assert_eq!(rig.on_disk(), b"osynced");
}

#[test]
fn what_is_held_back_is_written_when_the_fault_ends_or_the_file_is_closed() {
    let rig = Rig::new();
    let file = rig.open();
    rig.fault.set_held(Some(Held::Torn));
    file.write(0, b"held").unwrap();
    rig.fault.set_held(None);
    file.write(4, b" back").unwrap();
    assert_eq!(rig.on_disk(), b"held back");
    rig.fault.set_held(Some(Held::Whole));
    file.write(0, b"HELD").unwrap();
    file.close().unwrap();
    assert_eq!(rig.on_disk(), b"HELD back");
}

#[test]
fn nobody_has_to_write_for_what_is_held_back_to_be_written_at_the_end() {
    let rig = Rig::new();
    let file = rig.open();
    rig.fault.set_held(Some(Held::Whole));
    file.write(0, b"held").unwrap();
    rig.fault.set_held(None);
    while rig.on_disk() != b"held" {
        std::thread::yield_now();
    }
    drop(file);
}

#[test]
fn what_is_held_back_has_a_bound_and_the_oldest_goes_first() {
    let rig = Rig::new();
    let file = rig.open();
    rig.fault.set_held(Some(Held::Whole));
    let half = DISK_HELD_BYTES_MAX / 2;
    for n in 0..3 {
        let at = n * half;
        file.write(at as u64, &vec![1; half]).unwrap();
    }
    assert_eq!(rig.on_disk().len(), half);
    assert_eq!(file.len().unwrap(), 3 * half as u64);
}

#[test]
fn a_kill_in_a_torn_sync_leaves_a_half_and_never_less_than_what_was_acknowledged() {
    let rig = Rig::new();
    let database = Database::builder().create_with_backend(rig.open()).unwrap();
    put(&database, 0);
    rig.fault.set_held(Some(Held::Torn));
    for key in 1..5 {
        LEFT.take();
        put(&database, key);
        let left = LEFT.take();
        assert!(left.len() > 4, "{} pieces", left.len());
        assert!(left.windows(2).any(|two| two[0] != two[1]), "piece by piece");
        for image in left {
            let kept = rig.keys_of(&image);
            let before: Vec<u64> = (0..key).collect();
            assert!(
                kept.starts_with(&before),
                "{kept:?} of {before:?} and perhaps {key}"
            );
        }
        assert_eq!(keys(&database).len() as u64, key + 1);
    }
    assert!(PAUSED.take().iter().all(|pause| *pause <= TORN_SYNC_FOR));
}

#[test]
fn a_slow_disk_takes_longer_for_each_sync_and_a_full_one_takes_nothing() {
    let rig = Rig::new();
    let file = rig.open();
    file.write(0, b"kept").unwrap();
    let slow = Duration::from_secs(3);
    rig.fault.set_slow(slow);
    file.sync_data().unwrap();
    assert_eq!(PAUSED.take(), [slow]);
    rig.fault.set_full_above(Some(0));
    let refused = file.write(0, b"lost").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(bytes(&file), b"kept");
    rig.fault.set_full_above(None);
    file.write(0, b"room").unwrap();
}
