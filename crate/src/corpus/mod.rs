//! Text to token batches: the built-in generator with its ground truth, the user's files, the tokenizer with its
//! special ids, and the batches.
//!
//! # The built-in corpus
//!
//! A seed names an endless row of English-like documents, 40 to 400 words each. Document i of seed s is the same
//! text for ever and on every machine, and is made without making the documents before it. With its text a
//! document has spans: the [`Tag`]s that hold there by construction, from the kind of word ([`Context::Token`]) to
//! facts that only the whole document gives away ([`Context::LongRange`]).
//!
//! The documents talk about one small world (towns and their countries, rivers, languages and currencies; animals
//! and their young; trades and their tools), so its facts come back in the same words and can be learnt. The people
//! are the document's own. The grammar, in outline:
//!
//! ```text
//! document   ::= story | letter | report | dialogue | recipe | list | table | program | directory
//!              | sums | poem | article | drill
//! story      ::= title? opening sentence+ ending             about characters A and B and an object
//! letter     ::= address? "Dear" A "," sentence+ closing "," B ("P.S." sentence)?
//! report     ::= headline lead sentence+ town "," weekday "."
//! dialogue   ::= scene (quotation | name ":" utterance)+ sentence
//! recipe     ::= title ("-" amount ingredient)+ (number "." step)+
//! list       ::= (heading (bullet entry)+)+ sentence
//! table      ::= (heading header row+ "total" sum+ remark)+
//! program    ::= comment? (function | assignments "#" value | call | loop)+
//! directory  ::= heading (name, street, town "," country, telephone | trade)+
//! sums       ::= (number operator number "=" result | word problem)+
//! poem       ::= title refrain (verse+ refrain)+
//! article    ::= (town | country | animal | trade | person)+ "See also" …
//! drill      ::= (heading series series+)+                   the later series repeat the first
//!
//! sentence   ::= clause "." | subordinate "," clause "." | clause "," ("and" | "but" | "so") clause "."
//!              | time "," clause "." | place clause "." | quotation speech-verb character "." | list of three …
//! subordinate::= ("when" | "because" | "although" | "while" | "as") clause | ("after" | "before") vp-ing
//! clause     ::= character vp | stranger vp | sky weather | plural-noun place place "were" adjective
//! vp         ::= motion path | handling object | seeing object | resting place | meeting stranger | giving …
//! object     ::= determiner adjective* thing (place | relative)?
//! relative   ::= "that" person handling | "which was" adjective | "who" vp
//! path       ::= preposition "the" place
//! quotation  ::= '"' (utterance | query) ("," | "?" | "!" | ".") '"'
//! date       ::= day month year | month day "," year | weekday "," day month
//! ```
//!
//! The full productions stand in `grammar.rs`, `papers.rs` and `documents.rs`, the notation in `template.rs`, the words
//! in `lexicon.rs`. All of it is written for this lab; nothing is quoted.
//!
//! # Not supported
//!
//! Shuffled orders; compressed files and files larger than memory other than Parquet; Parquet in the page.

mod batches;
mod documents;
mod error;
mod facts;
mod files;
mod generator;
mod grammar;
mod inflect;
mod json_lines;
mod layouts;
mod lexicon;
#[cfg(not(target_arch = "wasm32"))]
mod name;
mod papers;
#[cfg(not(target_arch = "wasm32"))]
mod parquet;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod parquet_tests;
#[cfg(not(target_arch = "wasm32"))]
mod shards;
mod special;
mod tags;
mod template;
mod tokenizer;
mod writer;

pub use batches::{BatchError, BatchPlan, Batches, Encoding, TokenBatch, Tokenize};
pub use error::CorpusError;
pub use files::{Corpus, Documents};
pub use generator::{Document, Generator, write_jsonl};
#[cfg(not(target_arch = "wasm32"))]
pub use name::CorpusName;
#[cfg(not(target_arch = "wasm32"))]
pub use shards::Shards;
pub use special::SpecialIds;
pub use tags::{Context, Span, Tag, TagSet, token_tags};
pub use tokenizer::{TokenizeError, Tokenizer};
