//! A tantivy index built in memory.

use fastrand::Rng;
use tantivy::merge_policy::NoMergePolicy;
use tantivy::schema::{FAST, STORED, Schema, TEXT};
use tantivy::{Index, IndexWriter, doc};

use crate::SEED;
use crate::documents::word;

const DOCUMENTS: u64 = 36_000;
const VOCABULARY: usize = 20_000;
const BODY_WORDS: usize = 120;
const COMMIT_EVERY: u64 = 12_000;
const BUDGET: usize = 64 << 20;

/// Indexes the documents. One indexing thread and no background merges, so that the work does not
/// depend on the scheduler.
pub fn run() -> anyhow::Result<u64> {
    let mut schema = Schema::builder();
    let number = schema.add_u64_field("number", FAST | STORED);
    let title = schema.add_text_field("title", TEXT | STORED);
    let body = schema.add_text_field("body", TEXT);
    let index = Index::create_in_ram(schema.build());
    let mut writer: IndexWriter = index.writer_with_num_threads(1, BUDGET)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));

    let mut rng = Rng::with_seed(SEED);
    let vocabulary: Vec<String> = (0..VOCABULARY).map(|_| word(&mut rng)).collect();
    for document in 1..=DOCUMENTS {
        writer.add_document(doc!(
            number => document,
            title => text(&vocabulary, 6, &mut rng),
            body => text(&vocabulary, BODY_WORDS, &mut rng),
        ))?;
        if document % COMMIT_EVERY == 0 {
            writer.commit()?;
        }
    }
    writer.wait_merging_threads()?;
    Ok(index.reader()?.searcher().num_docs())
}

/// Words with frequencies that fall off as in natural text.
fn text(vocabulary: &[String], words: usize, rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..words {
        let uniform = rng.f64();
        let rank = (uniform * uniform * uniform * vocabulary.len() as f64) as usize;
        text.push_str(&vocabulary[rank]);
        text.push(' ');
    }
    text
}
