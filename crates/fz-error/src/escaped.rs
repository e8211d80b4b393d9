//! Paths in one line of a log.

use std::fmt::{self, Write as _};
use std::path::Path;

/// A path as text in which each control character is escaped: `/data/a\nb`.
///
/// A file's name may hold a line break or a terminal's escape sequence; written as it is, it forges a line of a log or
/// repaints a screen. Bytes that are no UTF-8 show as `U+FFFD`.
///
/// ```
/// use fz_error::EscapedPath;
///
/// let path = "/data/x\nERROR: all is lost".as_ref();
/// assert_eq!(EscapedPath(path).to_string(), "/data/x\\nERROR: all is lost");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EscapedPath<'a>(pub &'a Path);

impl fmt::Display for EscapedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
