//! The y-protocols framing, as y-websocket speaks it: variable-length integers, then buffers.
//!
//! `0` sync (`0` step 1: a state vector, `1` step 2 and `2`: an update), `1` awareness, `2` auth,
//! `3` query awareness. `100` is ours: JSON from the server about runs, takes and refusals.

use serde_json::Value;

/// Our own type of message.
pub(crate) const CUSTOM: u64 = 100;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// What it has: a state vector.
    Step1(Vec<u8>),
    /// A change.
    Update(Vec<u8>),
    /// Its presence.
    Awareness(Vec<u8>),
    /// It asks for everybody's presence.
    QueryAwareness,
    /// Something that this server needs not understand.
    Other,
}

/// One person's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presence {
    /// The Yjs client.
    pub(crate) client: u64,
    /// Rises with each change.
    pub(crate) clock: u64,
    /// JSON; `null`: gone.
    pub(crate) json: String,
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be read")]
pub(crate) struct FrameError;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64, FrameError> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(FrameError)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(FrameError)
    }

    fn buffer(&mut self) -> Result<&'a [u8], FrameError> {
        let length = usize::try_from(self.number()?).map_err(|_| FrameError)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FrameError)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Reads a message of a client, which may hold several.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut reader = Reader(bytes);
    let mut frames = Vec::new();
    while !reader.0.is_empty() {
        frames.push(match reader.number()? {
            0 => match reader.number()? {
                0 => Frame::Step1(reader.buffer()?.to_vec()),
                1 | 2 => Frame::Update(reader.buffer()?.to_vec()),
                _ => return Err(FrameError),
            },
            1 => Frame::Awareness(reader.buffer()?.to_vec()),
            3 => Frame::QueryAwareness,
            _ => {
                reader.0 = &[];
                Frame::Other
            }
        });
    }
    Ok(frames)
}

/// Reads an awareness update.
pub(crate) fn presences(bytes: &[u8]) -> Result<Vec<Presence>, FrameError> {
    let mut reader = Reader(bytes);
    let count = reader.number()?;
    (0..count)
        .map(|_| {
            let (client, clock) = (reader.number()?, reader.number()?);
            let json = std::str::from_utf8(reader.buffer()?).map_err(|_| FrameError)?.to_owned();
            Ok(Presence { client, clock, json })
        })
        .collect()
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn sync(kind: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    put_number(&mut out, 0);
    put_number(&mut out, kind);
    put_buffer(&mut out, bytes);
    out
}

/// The server says what it has.
pub(crate) fn step1(state_vector: &[u8]) -> Vec<u8> {
    sync(0, state_vector)
}

/// The server gives what the client lacks.
pub(crate) fn step2(update: &[u8]) -> Vec<u8> {
    sync(1, update)
}

/// A change of somebody.
pub(crate) fn update(update: &[u8]) -> Vec<u8> {
    sync(2, update)
}

/// Presences of people.
pub(crate) fn awareness<'a>(presences: impl ExactSizeIterator<Item = &'a Presence>) -> Vec<u8> {
    let mut body = Vec::new();
    put_number(&mut body, presences.len() as u64);
    for presence in presences {
        put_number(&mut body, presence.client);
        put_number(&mut body, presence.clock);
        put_buffer(&mut body, presence.json.as_bytes());
    }
    let mut out = Vec::with_capacity(body.len() + 8);
    put_number(&mut out, 1);
    put_buffer(&mut out, &body);
    out
}

/// Nobody's presence: a message in which there is nothing, for clients that take silence for a lost connection.
pub(crate) fn nobody() -> Vec<u8> {
    awareness(std::iter::empty())
}

/// JSON from the server: `lib0`'s variable-length string after our type.
pub(crate) fn custom(json: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, CUSTOM);
    put_buffer(&mut out, json.to_string().as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = presences(&bytes);
        }

        #[test]
        fn what_is_written_is_read(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(read(&update(&body)).unwrap(), vec![Frame::Update(body.clone())]);
            prop_assert_eq!(read(&step1(&body)).unwrap(), vec![Frame::Step1(body)]);
        }
    }

    #[test]
    fn presences_come_back() {
        let all = [Presence { client: 300, clock: 2, json: "{\"a\":\"ä\"}".to_owned() }];
        let Frame::Awareness(bytes) = read(&awareness(all.iter())).unwrap().remove(0) else {
            panic!("awareness")
        };
        assert_eq!(presences(&bytes).unwrap(), all);
    }
}
