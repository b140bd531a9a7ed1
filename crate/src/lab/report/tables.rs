//! Every feature of a model as a table: CSV for everyone, Parquet for pandas, polars and DuckDB.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::lab::compare::FeatureRow;
use crate::words::cell;

/// As CSV, with a line of names; what is not there is empty.
pub(super) fn csv(rows: &[FeatureRow]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // The other columns are numbers, and words of the lab's own.
        let hook = cell(&row.hook).into_owned();
        writer.serialize(FeatureRow { hook, ..row.clone() }).expect("a row is plain data");
    }
    writer.into_inner().expect("a table in memory")
}

/// A column with its name and its values.
enum Column {
    Text(&'static str, Vec<Option<String>>),
    Int(&'static str, Vec<Option<i32>>),
    Float(&'static str, Vec<Option<f32>>),
    Double(&'static str, Vec<Option<f64>>),
    Bool(&'static str, Vec<Option<bool>>),
}

/// As Parquet, the columns of [`FeatureRow`]; what is not there is null.
pub(super) fn parquet(rows: &[FeatureRow]) -> Vec<u8> {
    written(&columns(rows)).expect("a table in memory")
}

fn columns(rows: &[FeatureRow]) -> Vec<Column> {
    fn all<T>(rows: &[FeatureRow], value: impl Fn(&FeatureRow) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(value).collect()
    }
    let int = |v: usize| i32::try_from(v).ok();
    // As the CSV has them.
    let word = |v: serde_json::Value| v.as_str().map(str::to_owned);
    vec![
        Column::Text("hook", all(rows, |r| Some(r.hook.clone()))),
        Column::Int("layer", all(rows, |r| int(r.layer))),
        Column::Int("index", all(rows, |r| int(r.index))),
        Column::Double("density", all(rows, |r| Some(r.density))),
        Column::Double("mean", all(rows, |r| Some(r.mean))),
        Column::Float("max", all(rows, |r| Some(r.max))),
        Column::Bool("filtered", all(rows, |r| Some(r.filtered))),
        Column::Float("mppc", all(rows, |r| r.mppc)),
        Column::Int("partner_layer", all(rows, |r| r.partner_layer.and_then(int))),
        Column::Int("partner_index", all(rows, |r| r.partner_index.and_then(int))),
        Column::Float("null_mppc", all(rows, |r| r.null_mppc)),
        Column::Double("p", all(rows, |r| r.p)),
        Column::Double("q", all(rows, |r| r.q)),
        Column::Text("tag", all(rows, |r| r.tag.map(|t| t.name().to_owned()))),
        Column::Text("tag_context", all(rows, |r| word(serde_json::json!(r.tag_context)))),
        Column::Double("tag_f1", all(rows, |r| r.tag_f1)),
    ]
}

impl Column {
    fn field(&self) -> Result<Type, ParquetError> {
        let (name, physical, logical) = match self {
            Self::Text(name, _) => (name, Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Int(name, _) => (name, Physical::INT32, None),
            Self::Float(name, _) => (name, Physical::FLOAT, None),
            Self::Double(name, _) => (name, Physical::DOUBLE, None),
            Self::Bool(name, _) => (name, Physical::BOOLEAN, None),
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        field.with_logical_type(logical).build()
    }
}

fn written(columns: &[Column]) -> Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(|column| column.field().map(Arc::new)).collect::<Result<_, _>>()?;
    let schema = Arc::new(Type::group_type_builder("features").with_fields(fields).build()?);
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, properties)?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        let mut out = group.next_column()?.expect("a column of the schema");
        let bytes = |v: &String| ByteArray::from(v.as_str());
        match column {
            Column::Text(_, values) => {
                let values: Vec<_> = values.iter().map(|v| v.as_ref().map(bytes)).collect();
                put::<ByteArrayType>(out.typed(), &values)?;
            }
            Column::Int(_, values) => put::<Int32Type>(out.typed(), values)?,
            Column::Float(_, values) => put::<FloatType>(out.typed(), values)?,
            Column::Double(_, values) => put::<DoubleType>(out.typed(), values)?,
            Column::Bool(_, values) => put::<BoolType>(out.typed(), values)?,
        }
        out.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(file)
}

fn put<T: DataType>(
    out: &mut parquet::column::writer::ColumnWriterImpl<'_, T>,
    values: &[Option<T::T>],
) -> Result<(), ParquetError> {
    let there: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    let some: Vec<T::T> = values.iter().flatten().cloned().collect();
    out.write_batch(&some, Some(&there), None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Context, Tag};
    use std::io::Write as _;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    fn row() -> FeatureRow {
        FeatureRow {
            hook: "blocks.3.hook_resid_post".to_owned(),
            layer: 3,
            index: 17,
            density: 0.25,
            mean: 0.5,
            max: 4.0,
            filtered: true,
            mppc: Some(0.75),
            partner_layer: Some(6),
            partner_index: Some(9),
            null_mppc: Some(0.125),
            p: Some(0.001),
            q: Some(0.002),
            tag: Some(Tag::NameAfterTitle),
            tag_context: Some(Context::Ngram),
            tag_f1: Some(0.875),
        }
    }

    fn silent() -> FeatureRow {
        let (tag, tag_context, tag_f1) = (None, None, None);
        let row =
            FeatureRow { mppc: None, partner_layer: None, partner_index: None, null_mppc: None, ..row() };
        FeatureRow { p: None, q: None, tag, tag_context, tag_f1, ..row }
    }

    #[test]
    fn both_tables_say_the_same() {
        let rows = [row(), silent()];
        let text = String::from_utf8(csv(&rows)).expect("text");
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let names = lines.next().expect("names");
        let mut kept = tempfile::tempfile().expect("a file");
        kept.write_all(&parquet(&rows)).expect("written");
        let file = SerializedFileReader::new(kept).expect("a table");
        let fields = file.metadata().file_metadata().schema().get_fields();
        assert_eq!(fields.iter().map(|f| f.name()).collect::<Vec<_>>(), names);
        let read = file.get_row_iter(None).expect("rows");
        for (got, wanted) in read.zip(lines) {
            let got = got.expect("a row");
            for ((name, value), wanted) in got.get_column_iter().zip(wanted) {
                let value = value.to_string().replace("null", "").replace('"', "");
                let same =
                    value.parse::<f64>().ok().zip(wanted.parse::<f64>().ok()).is_some_and(|(x, y)| x == y);
                assert!(same || value == wanted, "{name}: {value} and {wanted}");
            }
        }
        assert_eq!(csv(&[]), b"");
    }

    #[test]
    fn a_hook_is_no_formula_and_numbers_are_numbers() {
        let hook = "=cmd|' /C calc'!A0".to_owned();
        let rows = [FeatureRow { hook, mppc: Some(-0.5), ..row() }];
        let text = String::from_utf8(csv(&rows)).expect("text");
        let line = text.lines().nth(1).expect("a row");
        assert!(line.starts_with("'=cmd") && line.contains(",-0.5,"), "{line}");
    }
}
