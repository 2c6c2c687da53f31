//! The observer where it writes to and reads from is not as it should be: a reader that goes away, a terminal that does, one of
//! no size, a file that is no recording or only a part of one.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::fake::{Fakes, Story};
use crate::pty::Pty;
use crate::rig::{Process, squall, wait_for_exit};

const SIZE: (u16, u16) = (120, 40);

#[test]
fn a_reader_that_goes_away_ends_the_watch_quietly() {
    let fakes = Fakes::new();
    let node = fakes.start(Story::of("good", "0.1.0"));
    for form in ["--text", "--json", "--csv"] {
        let mut command = squall();
        command.args(["observe", "--watch", form, "--connect", &node]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut watch = Process::spawn(&mut command);
        let mut first = String::new();
        let mut reader = BufReader::new(watch.0.stdout.take().expect("piped"));
        reader.read_line(&mut first).expect("a line");
        drop(reader);
        wait_for_exit(watch.id());
        let mut said = String::new();
        let mut errors = watch.0.stderr.take().expect("piped");
        errors.read_to_string(&mut said).expect("text");
        let code = watch.0.wait().expect("it ended").code();
        assert!(!first.is_empty(), "{form}: nothing was printed");
        assert_eq!((code, said.as_str()), (Some(0), ""), "{form}");
    }
}

#[test]
fn where_there_is_no_terminal_the_observer_says_what_to_do() {
    let output = squall()
        .arg("observe")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(2), 0),
        "{said}"
    );
    assert!(said.contains("--once") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_terminal_that_goes_away_ends_the_observer() {
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let node = fakes.start(Story::of("good", "0.1.0"));
    let observer = Pty::start(&["observe", "--connect", &node], dir.path(), SIZE);
    observer.sees(&["1/1 up"]);
    assert_eq!(observer.vanish(), 0);
}

#[test]
fn a_terminal_of_no_size_is_lived_through() {
    let fakes = Fakes::new();
    let dir = tempfile::tempdir().expect("a directory");
    let node = fakes.start(Story::of("good", "0.1.0"));
    let mut observer = Pty::start(&["observe", "--connect", &node], dir.path(), SIZE);
    observer.sees(&["1/1 up"]);
    for (columns, rows) in [
        (0, 0),
        (1, 1),
        (0, 40),
        (120, 0),
        (59, 15),
        (59, 16),
        (60, 15),
        (500, 2),
        (2, 200),
    ] {
        observer.resize(columns, rows);
        if columns >= 40 && rows >= 15 {
            observer.sees(&[&format!("need 60x16, have {columns}x{rows}")]);
        }
        observer.resize(SIZE.0, SIZE.1);
        observer.sees(&["─ Nodes ─", "1/1 up", "q quit"]);
        observer.press("5");
        observer.sees(&["─ Processes ─", "q quit"]);
        observer.press("1");
        observer.sees(&["─ Nodes ─", "1/1 up", "q quit"]);
    }
    observer.resize(0, 0);
    observer.press("q");
    let left = observer.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && left.modes_restored,
        "the terminal is as before"
    );
}

/// Records a made-up node until the observer has seen it for some while.
fn recording(dir: &Path) -> PathBuf {
    let fakes = Fakes::new();
    let node = fakes.start(Story::of("good", "0.1.0"));
    let file = dir.join("whole.rec");
    let name = file.to_str().expect("UTF-8");
    let mut observer = Pty::start(&["observe", "--connect", &node, "--record", name], dir, SIZE);
    observer.sees(&["● REC"]);
    // Its revision goes up five times a second.
    for digit in ["rev 5", "rev 1"] {
        observer.sees(&[digit, "1/1 up"]);
    }
    observer.press("q");
    assert_eq!(observer.left().code, 0);
    file
}

fn replays(file: &Path, words: &[&str]) {
    let dir = file.parent().expect("in a directory");
    let name = file.to_str().expect("UTF-8");
    let mut replay = Pty::start(&["observe", "--replay", name], dir, SIZE);
    replay.sees(words);
    replay.press("4 ");
    replay.sees(&["─ Opinions ─"]);
    replay.press("q");
    let left = replay.left();
    assert_eq!(left.code, 0);
    assert!(
        !left.alternate_screen && left.modes_restored,
        "the terminal is as before"
    );
}

#[test]
fn a_recording_is_played_as_far_as_it_goes_and_says_where_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = recording(dir.path());
    let bytes = fs::read(&whole).expect("it was written");
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, bytes).expect("written");
        file
    };
    replays(&whole, &["1/1 up", "the end"]);
    let cut = write("cut.rec", &bytes[..bytes.len() - 3]);
    replays(&cut, &["1/1 up", "cut short"]);
    let mut damaged = bytes.clone();
    let at = bytes.len() - 9;
    damaged[at] ^= 0x10;
    replays(
        &write("damaged.rec", &damaged),
        &["1/1 up", "damaged from here on"],
    );
    let (header, rest) = bytes[8..].split_at(header_end(&bytes) - 8);
    let mut header = header[8..].to_vec();
    // The format is its first field: 1.
    assert_eq!(header[..2], [8, 1]);
    header[1] = 9;
    let newer = [&bytes[..8], &message(&header), rest].concat();
    replays(
        &write("newer.rec", &newer),
        &["1/1 up", "recorded by a newer program ("],
    );
}

/// Where the messages after the header begin.
fn header_end(recording: &[u8]) -> usize {
    let length: [u8; 4] = recording[8..12].try_into().expect("four bytes");
    16 + usize::try_from(u32::from_le_bytes(length)).expect("a length")
}

/// A message as a recording has it: its length and its checksum before it.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_le_bytes();
    [&length[..], &crc32c(bytes).to_le_bytes(), bytes].concat()
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn what_is_no_recording_is_refused_by_name_with_the_code_of_a_wrong_argument() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, bytes).expect("written");
        file
    };
    let none = "this is no recording of squall observe";
    let table = [
        (file("empty", b""), none),
        (file("text", b"{\"version\":1}\n"), none),
        (file("short", b"SQUALLR1"), none),
        (file("long", &[&b"SQUALLR1"[..], &[0xff; 64]].concat()), none),
        (dir.path().join("missing"), "No such file"),
        (dir.path().to_owned(), "directory"),
    ];
    for (file, why) in table {
        let name = file.to_str().expect("UTF-8");
        let replay = Pty::start(&["observe", "--replay", name], dir.path(), SIZE);
        let left = replay.left();
        let said = String::from_utf8_lossy(&left.raw).into_owned();
        assert_eq!(left.code, 2, "{name}: {said}");
        // A terminal breaks long lines.
        let said = said.replace("\r\n", "");
        assert!(said.contains(name) && said.contains(why), "{name}: {said}");
        assert!(!said.contains("\x1b[?1049h"), "{name}: the screen was changed");
    }
}
