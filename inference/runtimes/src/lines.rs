//! Reads lines of a process that nobody trusts: of any length, in any bytes.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Longest line, in bytes. The rest of a longer one is dropped.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// All of it; bytes that are no UTF-8 are replaced.
    Whole(String),
    /// The first [`LINE_BYTES_MAX`] bytes of a longer one.
    Cut(String),
}

/// Lines of a stream. `next` may be dropped and called again without a loss.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    is_cut: bool,
    is_ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new(), is_cut: false, is_ended: false }
    }

    /// The next line, or none at the end of the stream; a read error is an end.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        while !self.is_ended {
            let available = match self.reader.fill_buf().await {
                Ok(available) if !available.is_empty() => available,
                Ok(_) | Err(_) => {
                    self.is_ended = true;
                    break;
                }
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.is_cut |= part.len() > room;
            let read = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(read);
            if end.is_some() {
                return Some(self.take());
            }
        }
        (!self.line.is_empty() || self.is_cut).then(|| self.take())
    }

    fn take(&mut self) -> Line {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        if std::mem::take(&mut self.is_cut) { Line::Cut(text) } else { Line::Whole(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_of_any_length_and_bytes_are_read() {
        let mut bytes = b"one\r\n\n".to_vec();
        bytes.extend(vec![b'x'; 3 * LINE_BYTES_MAX]);
        bytes.extend(b"\n\xff\xfe\nlast");
        let lines = read(&bytes).await;
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], Line::Whole("one".into()));
        assert_eq!(lines[1], Line::Whole(String::new()));
        assert_eq!(lines[2], Line::Cut("x".repeat(LINE_BYTES_MAX)));
        assert_eq!(lines[3], Line::Whole("\u{fffd}\u{fffd}".into()));
        assert_eq!(lines[4], Line::Whole("last".into()));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_the_lines_that_a_split_gives(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let lines: Vec<Line> = runtime.block_on(read(&bytes));
            let mut expected: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let expected: Vec<Line> = expected
                .into_iter()
                .map(|line| Line::Whole(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()))
                .collect();
            proptest::prop_assert_eq!(lines, expected);
        }
    }
}
