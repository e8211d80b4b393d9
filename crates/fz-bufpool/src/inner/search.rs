//! The search for a run under the pool's lock, and the run tree kept true beside claims and releases.

use super::{Claim, Freed, Inner};
use crate::bitmap::{self, WORD_BUFFERS};
use crate::cursor;
use crate::run_tree::{Candidate, FAN, Runs};
use crate::wait_list::Lease;

impl Inner {
    /// Claims under the lock, wherever there is a run. `None` is exact.
    pub(super) fn claim_anywhere(&self, lease: &mut Lease, count: u32) -> Option<Claim> {
        lease.is_short = true;
        if count > WORD_BUFFERS {
            // From where the last long one ended: else each would search the buffers that the ones before it claimed.
            let first = self.search(lease, lease.long_from, count)?;
            lease.long_from = (first + count) / WORD_BUFFERS;
            return Some(Claim { first, count });
        }
        let first = match self.bitmap.claim_in(lease.released_word, count) {
            Some(first) => {
                self.tighten(lease, first, count);
                first
            }
            None => self.search(lease, cursor::get(self.id, self.bitmap.words()), count)?,
        };
        cursor::set(self.id, first / WORD_BUFFERS);
        Some(Claim { first, count })
    }

    /// Claims the first run of `count` from word `from` on, or else the first of all; returns its first buffer.
    pub(super) fn search(&self, lease: &mut Lease, from: u32, count: u32) -> Option<u32> {
        if let Some(word) = lease.uncorrected.take() {
            self.note(lease, word);
        }
        let mut is_raised = false;
        // Each round but the last either tracks a word or lost a race; with the attention raised, a claimer that does
        // not have the lock wins one race at most. No round waits for another thread.
        loop {
            let candidate = lease.runs.find(from, count).or_else(|| lease.runs.find(0, count))?;
            let claimed = match candidate {
                Candidate::Within(word) => self.bitmap.claim_in(word, count),
                Candidate::From(first) => self.bitmap.claim_run(first, count).then_some(first),
            };
            if let Some(first) = claimed {
                self.tighten(lease, first, count);
                return Some(first);
            }
            if !is_raised {
                self.list.raise_attention();
                is_raised = true;
            }
            let words = match candidate {
                Candidate::Within(word) => word..word + 1,
                Candidate::From(first) => bitmap::words_of(first, count),
            };
            for word in words.clone().step_by(FAN).chain([words.end - 1]) {
                self.correct(lease, word);
            }
        }
    }

    /// Tracks `word` and its siblings: from now on the tree knows them as they are. The attention is raised.
    fn correct(&self, lease: &mut Lease, word: u32) {
        self.bitmap.track(&lease.runs.siblings(word));
        lease.runs.set_siblings(word, |word| self.bitmap.runs(word));
    }

    /// After a claim: the tree need not take the tracked words for freer than they are.
    fn tighten(&self, lease: &mut Lease, first: u32, count: u32) {
        for word in bitmap::words_of(first, count) {
            self.note(lease, word);
        }
    }

    /// The tree has the true value of `word` if it is tracked, and its bound, which holds, if not.
    fn note(&self, lease: &mut Lease, word: u32) {
        if self.bitmap.is_word_tracked(word) {
            let runs = self.bitmap.runs(word);
            if lease.runs.word(word) != runs {
                lease.runs.set_word(word, runs);
            }
        }
    }

    /// After a release: the tree must not take the tracked words for less free than they are. While the pool is not
    /// short of buffers, the next releases there shall do without the lock, so those words are tracked no more.
    pub(super) fn loosen(&self, lease: &mut Lease, freed: Freed) {
        if freed.count == 0 {
            return;
        }
        let is_short = std::mem::take(&mut lease.is_short) || !lease.line.is_empty();
        for word in bitmap::words_of(freed.first, freed.count) {
            if !self.bitmap.is_word_tracked(word) {
                continue;
            }
            let runs = self.bitmap.runs(word);
            if lease.runs.word(word) == runs {
                continue;
            }
            if is_short {
                if let Some(earlier) = lease.uncorrected.replace(word) {
                    self.note(lease, earlier);
                }
            } else {
                lease.runs.set_word(word, Runs::all(self.bitmap.width(word)));
                self.bitmap.untrack(word);
            }
            lease.released_word = word;
        }
    }
}
