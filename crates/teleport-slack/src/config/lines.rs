//! Where a byte of a text is, as people count.

/// Finds the line and the column of a byte.
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(starts).collect() }
    }

    /// The line of the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Where a line begins.
    pub(super) fn start(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// Which character of its line the byte at `offset` begins, from 1.
    pub(super) fn column(&self, text: &str, offset: usize) -> usize {
        let before = text.get(self.start(self.line(offset))..offset);
        before.map_or(1, |before| before.chars().count() + 1)
    }
}
