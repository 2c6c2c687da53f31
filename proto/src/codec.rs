//! The codec of all services: prost's, with a bound on what one message may be made of. Two bytes are enough for an action
//! or a row that takes some hundred bytes in memory, so a bound of bytes alone bounds little.
//!
//! What does not live here: the bounds of bytes (each service and client sets its own).

use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstCodec;

/// Fields of one message, each element of a list counted: more than twice the exchanges of the largest cluster, and some
/// fifty megabytes of a session's actions in memory.
pub const FIELDS_MAX: usize = 1 << 18;

/// Prost's codec, which refuses messages of more than [`FIELDS_MAX`] fields before it decodes them.
#[derive(Debug, Clone)]
pub struct Bounded<T, U>(ProstCodec<T, U>);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: prost::Message + Send + 'static,
    U: prost::Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = Counting<<ProstCodec<T, U> as Codec>::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting(self.0.decoder())
    }
}

/// A decoder that counts first.
#[derive(Debug, Clone)]
pub struct Counting<D>(D);

impl<D: Decoder<Error = Status>> Decoder for Counting<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        use prost::bytes::Buf as _;
        if has_more_fields(message.chunk(), FIELDS_MAX) {
            return Err(Status::out_of_range(format!(
                "a message has at most {FIELDS_MAX} fields, elements of its lists counted"
            )));
        }
        self.0.decode(message)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// True when the message has more fields than `max`. What is no message is left to prost.
fn has_more_fields(mut message: &[u8], max: usize) -> bool {
    let mut fields = 0;
    while let Some(rest) = after_field(message) {
        fields += 1;
        if fields > max {
            return true;
        }
        message = rest;
    }
    false
}

/// What follows the first field; none at the end, or where there is no field.
fn after_field(message: &[u8]) -> Option<&[u8]> {
    let (key, rest) = varint(message)?;
    match key & 7 {
        0 => varint(rest).map(|(_, rest)| rest),
        1 => rest.get(8..),
        2 => {
            let (len, rest) = varint(rest)?;
            rest.get(usize::try_from(len).ok()?..)
        }
        5 => rest.get(4..),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const BYTES_MAX: usize = 10;
    let mut value = 0;
    for (n, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::v1;

    #[test]
    fn fields_are_counted_and_not_what_is_in_them() {
        let batch = |actions| {
            let one = v1::ClientAction {
                action: Some(v1::client_action::Action::Publish(v1::Publish {
                    id: u64::MAX,
                    payload: vec![7; 300].into(),
                    priority: 3,
                    ..v1::Publish::default()
                })),
            };
            v1::ClientBatch {
                actions: vec![one; actions],
            }
            .encode_to_vec()
        };
        assert!(!has_more_fields(&batch(5), 5));
        assert!(has_more_fields(&batch(6), 5));
        assert!(has_more_fields(
            &[0x0a, 0, 0x08, 1, 0x0d, 0, 0, 0, 0, 0x09, 0, 0, 0, 0, 0, 0, 0, 0],
            3
        ));
    }

    #[test]
    fn what_is_no_message_has_no_fields() {
        let odd: [&[u8]; 5] = [&[], &[0xff; 20], &[0x0a, 9, 1], &[0x0b], &[0x09, 1]];
        for bytes in odd {
            assert!(!has_more_fields(bytes, 0), "{bytes:?}");
        }
    }
}
