//! Counts the deliveries of each publish, and says which ones should not have been: every subscriber is to get each publish
//! that it wants once. What does not live here: who wants what (`plan`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

/// What a publish says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) struct Notice {
    pub(in crate::bench) publisher: u32,
    pub(in crate::bench) topic: u32,
    /// Above all that the publisher has published before.
    pub(in crate::bench) number: u64,
}

impl Notice {
    pub(in crate::bench) fn payload(self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u32_le(self.publisher);
        out.put_u32_le(self.topic);
        out.put_u64_le(self.number);
        out.freeze()
    }

    pub(in crate::bench) fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (topic, rest) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_le_bytes(*publisher),
            topic: u32::from_le_bytes(*topic),
            number: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }
}

/// One publish of each publisher at a time.
#[derive(Debug)]
pub(super) struct Ledger {
    slots: Vec<Slot>,
    wrong: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Slot {
    /// Of the latest publish.
    number: AtomicU64,
    missing: AtomicUsize,
    ended: Mutex<Instant>,
    whole: Notify,
}

impl Ledger {
    pub(super) fn new(publishers: usize) -> Self {
        let slot = || Slot {
            number: AtomicU64::new(0),
            missing: AtomicUsize::new(0),
            ended: Mutex::new(Instant::now()),
            whole: Notify::new(),
        };
        Self {
            slots: std::iter::repeat_with(slot).take(publishers).collect(),
            wrong: Mutex::default(),
        }
    }

    pub(super) fn publishers(&self) -> usize {
        self.slots.len()
    }

    /// A publish is about to be made that so many get; gives its number. The one before is whole.
    pub(super) fn open(&self, publisher: usize, receivers: usize) -> u64 {
        let slot = &self.slots[publisher];
        slot.missing.store(receivers, Ordering::Release);
        slot.number.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Waits until everybody has it; gives when the last one got it.
    pub(super) async fn whole(&self, publisher: usize) -> Instant {
        let slot = &self.slots[publisher];
        slot.whole.notified().await;
        *slot.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deliveries that the publisher's latest publish still lacks.
    pub(super) fn missing(&self, publisher: usize) -> usize {
        self.slots[publisher].missing.load(Ordering::Acquire)
    }

    /// The first thing that was wrong, if anything was.
    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn delivered(&self, publisher: usize) -> Result<(), String> {
        let slot = &self.slots[publisher];
        let one_less = |missing: usize| missing.checked_sub(1);
        match slot
            .missing
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less)
        {
            Ok(1) => {
                *slot.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                slot.whole.notify_one();
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err("more subscribers got a publish than want it".into()),
        }
    }

    fn tell(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get_or_insert(what);
    }
}

/// What one subscriber has got, here or at a peer.
#[derive(Debug)]
pub(in crate::bench) struct Seen {
    topic: u32,
    /// Of each publisher, the number of its latest publish.
    latest: Box<[u64]>,
}

impl Seen {
    /// It wants that topic, of so many publishers.
    pub(in crate::bench) fn new(topic: u32, publishers: usize) -> Self {
        Self {
            topic,
            latest: vec![0; publishers].into(),
        }
    }

    /// What a subscriber's notes take, in bytes.
    pub(super) fn notes_bytes(ledger: &Ledger) -> u64 {
        (size_of::<u64>() * ledger.publishers()) as u64
    }

    /// Takes note of a delivery.
    pub(super) fn take(&mut self, payload: &[u8], ledger: &Ledger) {
        let counted = self
            .check(payload)
            .and_then(|notice| ledger.delivered(notice.publisher as usize));
        if let Err(what) = counted {
            ledger.tell(what);
        }
    }

    /// What is delivered, when it is to be and for the first time.
    pub(in crate::bench) fn check(&mut self, payload: &[u8]) -> Result<Notice, String> {
        let notice = Notice::read(payload).ok_or("a payload is not what was published")?;
        let publisher = notice.publisher as usize;
        let latest = self.latest.get_mut(publisher).ok_or("a publisher that is none")?;
        if notice.topic != self.topic {
            return Err(format!(
                "a subscriber of topic {} got one of topic {}",
                self.topic, notice.topic
            ));
        }
        if notice.number <= *latest {
            return Err(format!(
                "a subscriber got publish {} of publisher {publisher} after {latest}",
                notice.number
            ));
        }
        *latest = notice.number;
        Ok(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(topic: u32, number: u64) -> Bytes {
        let publisher = 0;
        Notice {
            publisher,
            topic,
            number,
        }
        .payload()
    }

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let notice = Notice {
            publisher: 7,
            topic: 9,
            number: u64::MAX - 1,
        };
        assert_eq!(Notice::read(&notice.payload()), Some(notice));
        assert_eq!(Notice::read(&notice.payload()[1..]), None);
        assert_eq!(Notice::read(b""), None);
    }

    #[tokio::test]
    async fn a_publish_is_whole_when_the_last_one_has_it() {
        let ledger = Ledger::new(1);
        let mut two = [Seen::new(3, 1), Seen::new(3, 1)];
        for wanted in [1, 2] {
            let number = ledger.open(0, 2);
            assert_eq!(number, wanted);
            two[0].take(&notice(3, number), &ledger);
            assert_eq!(ledger.missing(0), 1);
            two[1].take(&notice(3, number), &ledger);
            let ended = ledger.whole(0).await;
            assert!(ended <= Instant::now() && ledger.missing(0) == 0);
        }
        assert_eq!(ledger.wrong(), None);
    }

    #[test]
    fn what_comes_twice_late_or_to_the_wrong_one_is_told() {
        let said = |payloads: &[Bytes], receivers| {
            let ledger = Ledger::new(1);
            ledger.open(0, receivers);
            let mut seen = Seen::new(1, 1);
            payloads.iter().for_each(|payload| seen.take(payload, &ledger));
            ledger.wrong().unwrap_or_default()
        };
        assert_eq!(said(&[notice(1, 1), notice(1, 2)], 2), "");
        assert!(said(&[notice(1, 2), notice(1, 2)], 2).contains("publish 2 of publisher 0 after 2"));
        assert!(said(&[notice(1, 2), notice(1, 1)], 2).contains("publish 1 of publisher 0 after 2"));
        assert!(said(&[notice(2, 1)], 2).contains("topic 2"));
        assert!(said(&[notice(1, 1), notice(1, 2)], 1).contains("more subscribers"));
        assert!(said(&[Bytes::from_static(b"?")], 1).contains("not what was published"));
    }
}
