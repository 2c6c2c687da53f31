//! What a frame is and what a reply says: the two closed lists of the header, and their bytes.

use crate::reason::NoReply;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A control message: its payload is a postcard-encoded message of `message`.
    Control = 1,
    /// A request on its way to the owner.
    Request = 2,
    /// A request on its way to a handler.
    Deliver = 3,
    /// The end of a request, or one of its replies, on its way to the requester.
    Reply = 4,
    /// Link level: everything up to the message id (used as a link sequence) has arrived.
    Ack = 5,
    /// A publish on its way to the owner, or to a proxy.
    Publish = 6,
    /// A publish on its way to a node's subscribers.
    Event = 7,
    /// A part of a response, from the handler's node to the requester's. With the status `None` a chunk, a question or an
    /// answer is one that was refused: it comes back to its sender with what was wrong.
    Chunk = 8,
    /// More chunks that the requester takes, from its node to the handler's. With the status `None`: nothing more is taken.
    Credit = 9,
    /// A question back, from the handler's node to the requester's.
    Ask = 10,
    /// The answer to an `Ask`, from the requester's node to the handler's.
    Tell = 11,
    /// A task on its way to the owner of a task exchange.
    Submit = 12,
    /// A worker confirms, gives back or extends a task: from its node to the owner, and the answer back.
    Settle = 13,
    /// A task on its way from the owner to its worker.
    Task = 14,
}

impl Kind {
    /// All kinds; a kind's byte is its place, from 1.
    pub const ALL: [Self; 14] = [
        Self::Control,
        Self::Request,
        Self::Deliver,
        Self::Reply,
        Self::Ack,
        Self::Publish,
        Self::Event,
        Self::Chunk,
        Self::Credit,
        Self::Ask,
        Self::Tell,
        Self::Submit,
        Self::Settle,
        Self::Task,
    ];

    pub(super) fn of(byte: u8) -> Option<Self> {
        usize::from(byte)
            .checked_sub(1)
            .and_then(|place| Self::ALL.get(place).copied())
    }
}

/// What a `Reply` frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// A reply; the payload is the handler's. Also every frame that is not a `Reply`.
    #[default]
    Reply,
    /// Declined; the payload is the reason as text.
    Declined,
    /// Not here: the payload is the name of the exchange where the requester's node goes on.
    Redirect,
    /// A middleware lets the request through as it is.
    Pass,
    /// A middleware lets the request through with another payload: this one is the request's from now on.
    Rewrite,
    /// No reply will come.
    None(NoReply),
}

/// First byte of the reasons for no reply.
const NONE_FROM: u8 = 5;

impl Status {
    pub(super) fn to_byte(self) -> u8 {
        match self {
            Self::Reply => 0,
            Self::Declined => 1,
            Self::Redirect => 2,
            Self::Pass => 3,
            Self::Rewrite => 4,
            Self::None(reason) => {
                let place = NoReply::ALL
                    .iter()
                    .position(|r| *r == reason)
                    .expect("ALL holds every reason");
                NONE_FROM + u8::try_from(place).expect("few reasons")
            }
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Reply),
            1 => Some(Self::Declined),
            2 => Some(Self::Redirect),
            3 => Some(Self::Pass),
            4 => Some(Self::Rewrite),
            n => NoReply::ALL
                .get(usize::from(n - NONE_FROM))
                .copied()
                .map(Self::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind as u8), Some(kind));
        }
        assert_eq!((Kind::of(0), Kind::of(15)), (None, None));
    }

    #[test]
    fn every_status_survives_the_wire() {
        let plain = [
            Status::Reply,
            Status::Declined,
            Status::Redirect,
            Status::Pass,
            Status::Rewrite,
        ];
        for status in plain
            .into_iter()
            .chain(NoReply::ALL.iter().copied().map(Status::None))
        {
            assert_eq!(Status::of(status.to_byte()), Some(status));
        }
        assert_eq!(Status::of(255), None);
    }
}
