//! What lines of the scheduler's snapshot are made of. A line that another version wrote and this one cannot read is left
//! out.

use std::fmt::Write as _;

use crate::types::TimeUs;

/// The beginning of a line: its kind, and numbers.
pub(crate) fn line(text: &mut String, kind: &str, numbers: &[f64]) {
    text.push_str(kind);
    for number in numbers {
        let _ = write!(text, " {number}");
    }
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

pub(crate) fn positive(text: &str) -> Option<f64> {
    number(text).filter(|number| *number >= 0.0)
}

pub(crate) fn time(text: &str) -> Option<TimeUs> {
    text.parse().ok().map(TimeUs)
}

/// A name in hexadecimal, whatever it is: a space or a line end would end the field.
pub(crate) fn hex(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Option<String> {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_whatever_it_is() {
        for name in ["", "eu", "a b,c", "ü\n*"] {
            assert_eq!(unhex(&hex(name)).as_deref(), Some(name));
        }
        for wrong in ["0", "zz", "ff", "é"] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }
}
