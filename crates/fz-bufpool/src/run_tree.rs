//! Where a run of free buffers may begin, found in a number of steps that hardly grows with the pool.
//!
//! A tree over the words of the bitmap. Each node has the free buffers at its beginning, at its end and in its longest
//! run; a node of [`FAN`] children is computed from theirs. So a search skips a part of the pool without a run of the
//! wanted length in one step, and enters a part only if there is one in it.
//!
//! The tree lies under the pool's lock, and most claims and releases happen without it. So its values are **bounds**:
//! there may be less free than a node says, never more. A claim leaves them true. A search that a bound misled corrects
//! the bound and goes on; a release that would make one false corrects it first (see `Bitmap::is_tracked`). A search
//! that finds nothing therefore proves that there is nothing.

use crate::bitmap::WORD_BUFFERS;

/// Children of a node: two cache lines of them, or a part of one if they are words.
pub(crate) const FAN: usize = 8;

/// The runs of free buffers in a part of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    /// Free buffers at the beginning.
    prefix: u32,
    /// Free buffers at the end.
    suffix: u32,
    /// Free buffers in the longest run.
    longest: u32,
}

impl Runs {
    /// All `width` buffers are free.
    pub(crate) fn all(width: u32) -> Self {
        Self { prefix: width, suffix: width, longest: width }
    }

    /// Those of a word that covers `width` buffers.
    pub(crate) fn of_word(bits: u64, width: u32) -> Self {
        let suffix = (bits << (WORD_BUFFERS - width)).leading_ones();
        Self { prefix: bits.trailing_ones(), suffix, longest: longest_run(bits) }
    }

    fn of_children(children: impl Iterator<Item = (Self, u32)>) -> Self {
        let (mut all, mut is_full) = (Self { prefix: 0, suffix: 0, longest: 0 }, true);
        for (runs, width) in children {
            if is_full {
                all.prefix += runs.prefix;
            }
            is_full &= runs.prefix == width;
            all.longest = all.longest.max(runs.longest).max(all.suffix + runs.prefix);
            all.suffix = runs.after(all.suffix, width);
        }
        all
    }

    /// The free buffers that end where this part of `width` ends, if `open` of them end where it begins.
    fn after(self, open: u32, width: u32) -> u32 {
        if self.prefix == width { open + width } else { self.suffix }
    }
}

/// The most ones in a row.
fn longest_run(mut bits: u64) -> u32 {
    // Each round shortens every run by one; words that matter here are almost full, or almost empty.
    if bits == u64::MAX {
        return u64::BITS;
    }
    let mut longest = 0;
    while bits != 0 {
        bits &= bits >> 1;
        longest += 1;
    }
    longest
}

/// Where a run may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Somewhere within this word.
    Within(u32),
    /// From this buffer on, perhaps across words.
    From(u32),
}

/// The values of a word, each at most 64.
type Leaf = [u8; 3];

#[derive(Debug)]
pub(crate) struct RunTree {
    leaves: Box<[Leaf]>,
    /// The nodes above the leaves, level by level; the last level has one.
    levels: Vec<Box<[Runs]>>,
    capacity: u32,
}

impl RunTree {
    /// The tree of a pool in which all buffers may be free; `None` if there is no memory for it.
    pub(crate) fn new(capacity: u32) -> Option<Self> {
        let words = capacity.div_ceil(WORD_BUFFERS) as usize;
        let mut tree = Self { leaves: Box::default(), levels: Vec::new(), capacity };
        tree.leaves = filled(words, |at| leaf(Runs::all(tree.width(0, at))))?;
        // 2^31 buffers are 2^25 words, over which there are nine levels.
        tree.levels.try_reserve_exact(9).ok()?;
        let mut nodes = words;
        while nodes > 1 || tree.levels.is_empty() {
            nodes = nodes.div_ceil(FAN);
            let level = tree.levels.len() + 1;
            let full = filled(nodes, |at| Runs::all(tree.width(level, at)))?;
            tree.levels.push(full);
        }
        Some(tree)
    }

    /// The bounds of `word`.
    pub(crate) fn word(&self, word: u32) -> Runs {
        self.node(0, word as usize)
    }

    /// From now on the tree knows `runs` of `word`.
    pub(crate) fn set_word(&mut self, word: u32, runs: Runs) {
        self.leaves[word as usize] = leaf(runs);
        self.update_above(word);
    }

    /// From now on the tree knows the runs of all words below `word`'s parent, as `runs` says.
    pub(crate) fn set_siblings(&mut self, word: u32, runs: impl Fn(u32) -> Runs) {
        for sibling in self.siblings(word) {
            self.leaves[sibling as usize] = leaf(runs(sibling));
        }
        self.update_above(word);
    }

    /// All words below `word`'s parent.
    #[expect(clippy::cast_possible_truncation, reason = "there are at most 2^25 words")]
    pub(crate) fn siblings(&self, word: u32) -> std::ops::Range<u32> {
        let first = word - word % FAN as u32;
        first..(first + FAN as u32).min(self.leaves.len() as u32)
    }

    fn update_above(&mut self, word: u32) {
        let mut at = word as usize;
        for level in 1..=self.levels.len() {
            at /= FAN;
            let children = at * FAN..((at + 1) * FAN).min(self.nodes(level - 1));
            let runs = Runs::of_children(children.map(|at| (self.node(level - 1, at), self.width(level - 1, at))));
            let known = &mut self.levels[level - 1][at];
            if *known == runs {
                return;
            }
            *known = runs;
        }
    }

    /// The first place from `from_word` on where `count` buffers in a row may be free. `None` proves that there is
    /// none.
    pub(crate) fn find(&self, from_word: u32, count: u32) -> Option<Candidate> {
        if self.node(self.levels.len(), 0).longest < count {
            return None;
        }
        let (mut level, mut at) = (0, from_word as usize);
        // Free buffers that end where the search stands.
        let mut open = 0;
        loop {
            // The widest part that begins here: entered again only if the run is in it.
            while at.is_multiple_of(FAN) && level < self.levels.len() {
                (level, at) = (level + 1, at / FAN);
            }
            // Down to the part that is skipped, or to the run.
            loop {
                if at >= self.nodes(level) {
                    return None;
                }
                let (runs, start) = (self.node(level, at), self.start(level, at));
                // A run within a word is looked for in the word itself, which may have it elsewhere than its bound
                // says.
                let is_within = open == 0 && count <= WORD_BUFFERS;
                if open + runs.prefix >= count && !is_within {
                    return Some(Candidate::From(start - open));
                }
                if runs.longest < count {
                    open = runs.after(open, self.width(level, at));
                    at += 1;
                    break;
                }
                if level == 0 {
                    return Some(Candidate::Within(start / WORD_BUFFERS));
                }
                (level, at) = (level - 1, at * FAN);
            }
        }
    }

    fn nodes(&self, level: usize) -> usize {
        if level == 0 { self.leaves.len() } else { self.levels[level - 1].len() }
    }

    fn node(&self, level: usize, at: usize) -> Runs {
        crate::cost::count_visit();
        if level > 0 {
            return self.levels[level - 1][at];
        }
        let [prefix, suffix, longest] = self.leaves[at].map(u32::from);
        Runs { prefix, suffix, longest }
    }

    /// The first buffer of a node.
    #[expect(clippy::cast_possible_truncation, reason = "a node begins below the capacity")]
    fn start(&self, level: usize, at: usize) -> u32 {
        (at as u64 * width_of(level)) as u32
    }

    /// The buffers under a node.
    #[expect(clippy::cast_possible_truncation, reason = "a part of the capacity")]
    fn width(&self, level: usize, at: usize) -> u32 {
        (u64::from(self.capacity) - at as u64 * width_of(level)).min(width_of(level)) as u32
    }
}

/// The buffers under a node that has all its children.
fn width_of(level: usize) -> u64 {
    u64::from(WORD_BUFFERS) << (level * FAN.trailing_zeros() as usize)
}

fn leaf(runs: Runs) -> Leaf {
    [runs.prefix, runs.suffix, runs.longest].map(|buffers| u8::try_from(buffers).expect("a word has 64 buffers"))
}

/// `len` values, or `None` if there is no memory for them.
fn filled<T>(len: usize, value: impl FnMut(usize) -> T) -> Option<Box<[T]>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.extend((0..len).map(value));
    Some(values.into_boxed_slice())
}
