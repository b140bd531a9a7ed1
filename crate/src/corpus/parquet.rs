//! The texts of one column of a Parquet file, read page by page.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::CorpusError;
use crate::calm::calm;
use crate::words::{echo, meant};

/// The column that is taken where it is there and none is named.
const TEXT: &str = "text";

/// Columns that a message lists.
const LISTED: usize = 12;

/// Rows decoded at a time. Beside them a page lies in memory, never the file.
const ROWS: usize = 64;

/// An open file and how far it is read.
pub(super) struct Texts {
    file: String,
    reader: SerializedFileReader<File>,
    column: usize,
    /// The row group that `values` reads; `values` is none before the first.
    group: usize,
    values: Option<ColumnReaderImpl<ByteArrayType>>,
    /// Rows of the group that are still to come from `values`.
    left: u64,
    ready: VecDeque<Option<ByteArray>>,
    /// The last row that was given, from 1.
    row: u64,
}

impl Texts {
    /// Opens a file and finds the column of texts: the one named, or else `text`, or the only one that holds text.
    pub(super) fn open(path: &Path, column: Option<&str>) -> Result<Self, CorpusError> {
        let file = path.display().to_string();
        let opened =
            crate::regular::open(path).map_err(|source| CorpusError::Read { name: file.clone(), source })?;
        let reader = calm(|| SerializedFileReader::new(opened))
            .map_err(|reason| CorpusError::Damaged { file: file.clone(), reason })?;
        let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        let column = choose(&file, &columns.iter().map(AsRef::as_ref).collect::<Vec<_>>(), column)?;
        for group in reader.metadata().row_groups() {
            let codec = match group.column(column).compression() {
                Compression::BROTLI(_) => "brotli",
                Compression::LZO => "LZO",
                _ => continue,
            };
            return Err(CorpusError::Compression { file, codec });
        }
        Ok(Self { file, reader, column, group: 0, values: None, left: 0, ready: VecDeque::new(), row: 0 })
    }

    /// Name of the column.
    pub(super) fn column(&self) -> String {
        self.reader.metadata().file_metadata().schema_descr().column(self.column).path().string()
    }

    /// The next row that has a text; none after the last.
    pub(super) fn next_text(&mut self) -> Result<Option<String>, CorpusError> {
        loop {
            while let Some(value) = self.ready.pop_front() {
                self.row += 1;
                let Some(value) = value else { continue };
                return match std::str::from_utf8(value.data()) {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(e) => {
                        let reason = format!("it is not UTF-8 at byte {}", e.valid_up_to());
                        Err(CorpusError::Row { file: self.file.clone(), row: self.row, reason })
                    }
                };
            }
            let more = self.read();
            let failed = |reason| CorpusError::Row { file: self.file.clone(), row: self.row + 1, reason };
            if !more.map_err(failed)? {
                return Ok(None);
            }
        }
    }

    /// Decodes some rows; false after the last group.
    fn read(&mut self) -> Result<bool, String> {
        let Some(values) = &mut self.values else { return self.begin() };
        let (mut levels, mut found) = (Vec::new(), Vec::new());
        let (rows, ..) = calm(|| values.read_records(ROWS, Some(&mut levels), None, &mut found))?;
        match self.left.checked_sub(rows as u64) {
            None => return Err("it holds more rows than it states".to_owned()),
            Some(0) if rows == 0 => {
                (self.values, self.group) = (None, self.group + 1);
                return Ok(true);
            }
            Some(left) if rows == 0 => return Err(format!("{left} rows are missing")),
            Some(left) => self.left = left,
        }
        let mut found = found.into_iter();
        let most = self.reader.metadata().file_metadata().schema_descr().column(self.column).max_def_level();
        // A column that must have a value has no levels.
        let present = (0..rows).map(|i| most == 0 || levels.get(i) == Some(&most));
        for present in present {
            let value = if present { Some(found.next().ok_or("values are missing")?) } else { None };
            self.ready.push_back(value);
        }
        Ok(true)
    }

    /// Goes to the current row group; false where there is none.
    fn begin(&mut self) -> Result<bool, String> {
        if self.group == self.reader.num_row_groups() {
            return Ok(false);
        }
        let (reader, column, group) = (&self.reader, self.column, self.group);
        let values = calm(|| reader.get_row_group(group)?.get_column_reader(column))?;
        let ColumnReader::ByteArrayColumnReader(values) = values else {
            return Err("the column is not of one type".to_owned());
        };
        self.left = u64::try_from(self.reader.metadata().row_group(group).num_rows())
            .map_err(|_| "a row group has a negative number of rows")?;
        self.values = Some(values);
        Ok(true)
    }
}

/// Whether a column says that it holds text.
fn is_text(column: &ColumnDescriptor) -> bool {
    let logical = matches!(column.logical_type_ref(), Some(LogicalType::String));
    is_readable(column) && (logical || column.converted_type() == ConvertedType::UTF8)
}

/// Whether its values can be taken for texts: bytes, at most one value a row. Old writers do not say that it is text.
fn is_readable(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0
}

/// The index of the column to read.
fn choose(file: &str, columns: &[&ColumnDescriptor], named: Option<&str>) -> Result<usize, CorpusError> {
    let texts: Vec<usize> = (0..columns.len()).filter(|&i| is_text(columns[i])).collect();
    let called = |name: &str| (0..columns.len()).find(|&i| columns[i].path().string() == name);
    let wrong = |problem: String| {
        let title = |i: usize| echo(&columns[i].path().string());
        let list = (0..columns.len().min(LISTED)).map(|i| format!("{} ({})", title(i), kind(columns[i])));
        let meant = meant(named.unwrap_or_default(), texts.iter().map(|&i| columns[i].name()));
        let advice = match texts.first() {
            Some(&i) => format!("name one of strings after the corpus, as in …:{}", title(i)),
            None => "give a file with a column of strings".to_owned(),
        };
        let mut list: Vec<String> = list.collect();
        if columns.len() > LISTED {
            list.push(format!("{} more", columns.len() - LISTED));
        }
        let columns = list.join(", ");
        CorpusError::Column { file: file.to_owned(), problem, columns, advice, meant }
    };
    if let Some(name) = named {
        return match called(name) {
            Some(i) if is_readable(columns[i]) => Ok(i),
            Some(i) => Err(wrong(format!("a column {}, but it is {}", echo(name), kind(columns[i])))),
            None => Err(wrong(format!("no column {}", echo(name)))),
        };
    }
    if let Some(i) = called(TEXT).filter(|&i| is_text(columns[i])) {
        return Ok(i);
    }
    match texts[..] {
        [only] => Ok(only),
        [] => Err(wrong("no column of strings".to_owned())),
        _ => Err(wrong(format!("no column of strings called {TEXT}, and several of other names"))),
    }
}

/// A column's type, for people.
fn kind(column: &ColumnDescriptor) -> String {
    if is_text(column) {
        return "string".to_owned();
    }
    let kind = format!("{:?}", column.physical_type()).to_lowercase();
    if column.max_rep_level() > 0 { format!("list of {kind}") } else { kind }
}
