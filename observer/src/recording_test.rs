//! Tests of recordings: out comes what went in, and of a damaged one what came before.

use squall_proto::v1;
use squall_proto::v1::row::Row;

use super::*;
use crate::feed::{Link, RowsUpdate, Update};
use crate::units::Moment;

fn updates() -> Vec<Update> {
    let row = v1::Row {
        row: Some(Row::Node(v1::NodeRow {
            name: "a".to_owned(),
            ..Default::default()
        })),
    };
    vec![
        Update::Seed {
            addr: "127.0.0.1:1".to_owned(),
            why: Some("refused".to_owned()),
        },
        Update::Seed {
            addr: "127.0.0.1:1".to_owned(),
            why: None,
        },
        Update::Connection {
            node: "a".to_owned(),
            state: Link::Live,
        },
        Update::Connection {
            node: "a".to_owned(),
            state: Link::Down {
                why: "reset".to_owned(),
                refused: true,
            },
        },
        Update::Hello {
            node: "a".to_owned(),
            hello: v1::HelloResponse::default(),
        },
        Update::Rows(RowsUpdate {
            node: "a".to_owned(),
            whole: true,
            rows: vec![row],
            removed: vec![v1::RowKey::default()],
            taken_unix_ms: 3,
            coalesced: 4,
            rows_omitted: 5,
            gaps: 6,
        }),
        Update::Events {
            node: "a".to_owned(),
            incarnation: 7,
            events: vec![v1::Event::default()],
            lost: 8,
        },
        Update::Refused {
            node: "a".to_owned(),
            reason: "no".to_owned(),
        },
    ]
}

/// A recording in memory: its bytes, and where each message ends.
fn recorded() -> Vec<u8> {
    let dir = std::env::temp_dir().join(format!(
        "squall-recording-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = dir.join("r");
    let mut recorder = Recorder::create(&file, Moment(1_000)).expect("a new file");
    for (n, update) in updates().into_iter().enumerate() {
        let at = Moment(1_000 + n as u64);
        recorder
            .record(at, std::slice::from_ref(&update))
            .expect("written");
    }
    recorder.flush().expect("written");
    assert!(
        Recorder::create(&file, Moment(0)).is_err_and(|e| e.to_string().contains("exists")),
        "a file that is there stays"
    );
    let bytes = std::fs::read(&file).expect("read");
    std::fs::remove_dir_all(&dir).expect("removed");
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<(Moment, Update)>, Ended), RecordingError> {
    let mut reader = Reader::of(bytes, "r".to_owned())?;
    let mut all = Vec::new();
    loop {
        match reader.read() {
            Ok(told) => all.push(told),
            Err(ended) => return Ok((all, ended)),
        }
    }
}

#[test]
fn out_comes_what_went_in() {
    let (all, ended) = read(&recorded()).expect("a recording");
    let expected = updates().into_iter().enumerate();
    let expected: Vec<_> = expected.map(|(n, u)| (Moment(1_000 + n as u64), u)).collect();
    assert_eq!((all, ended), (expected, Ended::Whole));
}

#[test]
fn of_one_that_was_cut_everything_before_is_there() {
    let whole = recorded();
    let (all, _) = read(&whole).expect("a recording");
    let mut seen = 0;
    for len in (MAGIC.len() + 8..whole.len()).rev() {
        match read(&whole[..len]) {
            Ok((some, ended)) => {
                assert_eq!(some, all[..some.len()], "{len}");
                assert!(ended != Ended::Broken, "{len}: {ended:?}");
                seen += 1;
            }
            Err(error) => assert!(
                error.to_string().ends_with("no recording of squall observe"),
                "{error}"
            ),
        }
    }
    assert!(seen > 50);
}

#[test]
fn a_byte_that_changed_ends_it_there_and_nothing_breaks() {
    let whole = recorded();
    let (all, _) = read(&whole).expect("a recording");
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 0x41;
        if let Ok((some, ended)) = read(&bad) {
            assert_eq!(some, all[..some.len()], "{at}");
            assert!(some.len() < all.len() && ended != Ended::Whole, "{at}: {ended:?}");
        }
    }
}

#[test]
fn what_is_no_recording_is_said_to_be_none_and_a_newer_one_is_shown() {
    for bytes in [&b""[..], b"SQUALL", b"{\"json\": true}", b"SQUALLR1"] {
        assert!(read(bytes).is_err());
    }
    let mut bytes = MAGIC.to_vec();
    let mut put = |message: &[u8]| {
        bytes.extend((message.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c(message).to_le_bytes());
        bytes.extend(message);
    };
    use prost::Message as _;
    let header = v1::RecordingHeader {
        format: 9,
        program: "9.0\u{1b}[2J".to_owned(),
        started_unix_ms: 5,
    };
    put(&header.encode_to_vec());
    // A kind of update that this program does not know: field 99.
    put(&[0x08, 0x01, 0x9a, 0x06, 0x00]);
    let known = coding::encode(Moment(6), updates()[0].clone()).expect("it is recorded");
    put(&known.encode_to_vec());
    let mut reader = Reader::of(&bytes[..], "r".to_owned()).expect("a newer one");
    assert_eq!(reader.newer.as_deref(), Some("9.0␛[2J"));
    assert_eq!(reader.read(), Ok((Moment(6), updates()[0].clone())));
    assert_eq!((reader.unknown, reader.read()), (1, Err(Ended::Whole)));
}
