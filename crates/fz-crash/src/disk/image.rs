//! The content of a disk: what a file system was made as, and what was written since.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// The unit in which content is kept.
pub(crate) const PAGE: usize = 4096;

type Page = [u8; PAGE];

const ZEROS: &Page = &[0; PAGE];

/// A file system as it was made; never changed, shared by all that came of it.
#[derive(Debug)]
pub(crate) struct Base {
    pages: Vec<Option<Box<Page>>>,
}

/// A disk: a base, and the pages that were written over it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    base: Arc<Base>,
    written: HashMap<u64, Arc<Page>>,
}

impl Base {
    /// An empty disk of at least `bytes` bytes.
    pub(crate) fn empty(bytes: u64) -> Self {
        let pages = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(PAGE);
        Self { pages: (0..pages).map(|_| None).collect() }
    }

    /// The content of a file, whose length is a multiple of [`PAGE`].
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let mut file = io::BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut base = Self::empty(file.get_ref().metadata()?.len());
        let mut page = *ZEROS;
        for place in &mut base.pages {
            file.read_exact(&mut page)?;
            if page != *ZEROS {
                *place = Some(Box::new(page));
            }
        }
        Ok(base)
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE) as u64
    }
}

impl Image {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        Self { base, written: HashMap::new() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.base.bytes()
    }

    fn page(&self, number: u64) -> &Page {
        if let Some(page) = self.written.get(&number) {
            return page;
        }
        let place = usize::try_from(number).ok().and_then(|number| self.base.pages.get(number));
        place.and_then(Option::as_deref).unwrap_or(ZEROS)
    }

    /// Reads what lies on the disk; zeros after its end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) {
        for (number, within, part) in parts(offset, buffer.len()) {
            buffer[part.clone()].copy_from_slice(&self.page(number)[within..within + part.len()]);
        }
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, within, part) in parts(offset, bytes.len()) {
            if !self.written.contains_key(&number) {
                let page = Arc::new(*self.page(number));
                self.written.insert(number, page);
            }
            let page = self.written.get_mut(&number).expect("it was just inserted");
            Arc::make_mut(page)[within..within + part.len()].copy_from_slice(&bytes[part]);
        }
    }

    /// A page's share of the hash of the whole, which is the sum of these: 0 if it is as the base has it.
    pub(crate) fn hash_of_page(&self, number: u64) -> u64 {
        let page = self.page(number);
        let original = usize::try_from(number).ok().and_then(|number| self.base.pages.get(number));
        if original.and_then(Option::as_deref).unwrap_or(ZEROS) == page {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (number, page.as_slice()).hash(&mut hasher);
        hasher.finish()
    }

    /// Writes the whole disk to a new sparse file.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let file = File::create(path)?;
        file.set_len(self.bytes())?;
        for number in 0..self.base.pages.len() as u64 {
            if self.page(number) != ZEROS {
                file.write_all_at(self.page(number), number * PAGE as u64)?;
            }
        }
        Ok(())
    }
}

/// The pages that a range touches: the page, where in it, and which part of the range.
pub(crate) fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE as u64).expect("less than a page");
        let part = (PAGE - within).min(length - done);
        let range = done..done + part;
        done += part;
        (part > 0).then_some((at / PAGE as u64, within, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_rest_is_the_base() {
        let mut image = Image::new(Arc::new(Base::empty(3 * PAGE as u64)));
        let bytes: Vec<u8> = (0..PAGE + 512).map(|i| u8::try_from(i % 251).unwrap() + 1).collect();
        image.write(PAGE as u64 - 512, &bytes);
        let mut back = vec![0; 3 * PAGE];
        image.read(0, &mut back);
        assert_eq!(back[PAGE - 512..2 * PAGE], bytes);
        assert!(back[..PAGE - 512].iter().chain(&back[2 * PAGE..]).all(|&byte| byte == 0));
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut image = Image::new(Arc::new(Base::empty(PAGE as u64)));
        image.write(0, &[1; 512]);
        let clone = image.clone();
        image.write(0, &[2; 512]);
        let mut back = [0; 512];
        clone.read(0, &mut back);
        assert_eq!(back, [1; 512]);
    }

    #[test]
    fn the_hash_is_that_of_the_content_and_not_of_how_it_came() {
        let new = || Image::new(Arc::new(Base::empty(2 * PAGE as u64)));
        let (mut one, mut other) = (new(), new());
        one.write(0, &[1; 1024]);
        other.write(512, &[1; 512]);
        other.write(0, &[1; 512]);
        assert_eq!(one.hash_of_page(0), other.hash_of_page(0));
        other.write(0, &[2; 512]);
        assert_ne!(one.hash_of_page(0), other.hash_of_page(0));
        one.write(0, &[0; 1024]);
        assert_eq!(one.hash_of_page(0), 0);
    }

    #[test]
    fn a_disk_is_saved_and_loaded_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let mut image = Image::new(Arc::new(Base::empty(4 * PAGE as u64)));
        image.write(5000, &[7; 3000]);
        image.save(&path).unwrap();
        let loaded = Image::new(Arc::new(Base::load(&path).unwrap()));
        let (mut one, mut other) = (vec![0; 4 * PAGE], vec![0; 4 * PAGE]);
        image.read(0, &mut one);
        loaded.read(0, &mut other);
        assert!(one == other && loaded.bytes() == image.bytes());
    }
}
