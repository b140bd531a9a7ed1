//! `~` and `$NAME` in paths that variables of the environment hold, as Python's `os.path.expanduser` and
//! `os.path.expandvars` read them.

/// A path with the home folder in place of a `~` at its beginning and then values in place of `$NAME` and `${NAME}`.
/// Unknown users and variables stay as they are written; a value is not expanded again.
pub(super) fn expand(path: &str, var: &impl Fn(&str) -> Option<String>) -> String {
    variables(&user(path, var), var)
}

fn user(path: &str, var: &impl Fn(&str) -> Option<String>) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = match name {
        "" => var("HOME").or_else(|| Some(std::env::home_dir()?.to_string_lossy().into_owned())),
        name => home_of(name),
    };
    let Some(home) = home else { return path.to_owned() };
    let expanded = format!("{}{rest}", home.trim_end_matches('/'));
    if expanded.is_empty() { "/".to_owned() } else { expanded }
}

/// The home of another user, where the system keeps a list in the usual place.
fn home_of(name: &str) -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    let home = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() > 5 && fields[0] == name).then(|| fields[5].to_owned())
    };
    list.lines().find_map(home)
}

fn variables(path: &str, var: &impl Fn(&str) -> Option<String>) -> String {
    let (mut all, mut rest) = (String::new(), path);
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        all.push_str(&rest[..at]);
        let (name, written) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !word(c)).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match Some(name).filter(|name| !name.is_empty()).and_then(var) {
            Some(value) => all.push_str(&value),
            None => all.push_str(&rest[at..at + 1 + written]),
        }
        rest = &after[written..];
    }
    all + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every right side is what `os.path.expandvars(os.path.expanduser(…))` of Python 3.11 gives with these variables.
    #[test]
    fn paths_are_expanded_as_python_does() {
        let var = |name: &str| {
            let value = match name {
                "HOME" => "/home/me/",
                "A" => "/a",
                "B" => "b$A",
                "E" => "",
                "_x1" => "X",
                "T" => "~",
                _ => return None,
            };
            Some(value.to_owned())
        };
        for (path, expanded) in [
            ("~", "/home/me"),
            ("~/x", "/home/me/x"),
            ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
            ("a~", "a~"),
            ("/~/x", "/~/x"),
            ("$A/x", "/a/x"),
            ("${A}x", "/ax"),
            ("$Ax", "$Ax"),
            ("$B", "b$A"),
            ("$$A", "$/a"),
            ("$", "$"),
            ("${", "${"),
            ("${A", "${A"),
            ("${}", "${}"),
            ("$E|", "|"),
            ("${none}x", "${none}x"),
            ("$_x1-", "X-"),
            ("$Ä", "$Ä"),
            ("x$A$A", "x/a/a"),
            ("~$A", "~/a"),
            ("$T/x", "~/x"),
            ("${A }", "${A }"),
            ("~/$A", "/home/me//a"),
        ] {
            assert_eq!(expand(path, &var), expanded, "{path}");
        }
        let root = |name: &str| (name == "HOME").then(|| "/".to_owned());
        assert_eq!((expand("~", &root), expand("~/x", &root)), ("/".to_owned(), "/x".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn other_users_have_homes() {
        assert_eq!(expand("~root/x", &|_| None), "/root/x");
    }
}
