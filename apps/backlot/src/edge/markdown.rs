//! Just enough Markdown for the pages of the error codes: headings, paragraphs, lists, code, bold, links.
//! The pages are ours and embedded; still, every character of text is escaped.

/// Turns a page into HTML.
pub(super) fn to_html(text: &str) -> String {
    let mut html = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("```") {
            let _language = rest;
            html += "<pre><code>";
            for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                html += &escape(code);
                html.push('\n');
            }
            html += "</code></pre>\n";
        } else if let Some((level, title)) = heading(line) {
            html += &format!("<h{level}>{}</h{level}>\n", inline(title));
        } else if let Some(item) = list_item(line) {
            html += &format!("<ul>\n<li>{}</li>\n", inline(item));
            while let Some(item) = lines.peek().and_then(|line| list_item(line)) {
                html += &format!("<li>{}</li>\n", inline(item));
                lines.next();
            }
            html += "</ul>\n";
        } else if !line.trim().is_empty() {
            let mut paragraph = line.to_owned();
            while let Some(next) = lines.next_if(|line| is_text(line)) {
                paragraph.push(' ');
                paragraph += next.trim();
            }
            html += &format!("<p>{}</p>\n", inline(&paragraph));
        }
    }
    html
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.chars().take_while(|&c| c == '#').count();
    let title = line.get(level..)?.strip_prefix(' ')?;
    (1..=6).contains(&level).then_some((level, title))
}

fn list_item(line: &str) -> Option<&str> {
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* "))
}

fn is_text(line: &str) -> bool {
    !line.trim().is_empty()
        && heading(line).is_none()
        && list_item(line).is_none()
        && !line.starts_with("```")
}

/// Code first, because nothing inside it means anything else.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            html += &format!("<code>{}</code>", escape(part));
        } else {
            html += &links(&bold(&escape(part)));
        }
    }
    html
}

fn bold(text: &str) -> String {
    let parts: Vec<&str> = text.split("**").collect();
    if parts.len().is_multiple_of(2) {
        return text.to_owned();
    }
    let parts = parts.iter().enumerate();
    parts
        .map(
            |(index, part)| {
                if index % 2 == 1 { format!("<strong>{part}</strong>") } else { (*part).to_owned() }
            },
        )
        .collect()
}

/// `[text](address)` where the address is a page of ours or on the web; anything else stays text.
fn links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    let Some((label, target)) = rest.split_once("](") else { return text.to_owned() };
    let Some((address, after)) = target.split_once(')') else { return text.to_owned() };
    let address = address.trim_end_matches(".md");
    let safe = address.starts_with("https://") || !address.contains(':');
    let link = if safe { format!("<a href=\"{address}\">{label}</a>") } else { label.to_owned() };
    format!("{before}{link}{}", links(after))
}

/// Text as HTML text or attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, expected: &str) {
        assert_eq!(to_html(markdown).replace('\n', ""), expected);
    }

    #[test]
    fn what_the_pages_use_is_understood() {
        check("# a `b`", "<h1>a <code>b</code></h1>");
        check("one\ntwo\n\nthree", "<p>one two</p><p>three</p>");
        check("- a\n- **b**\n", "<ul><li>a</li><li><strong>b</strong></li></ul>");
        check("see [x](not_found.md).", "<p>see <a href=\"not_found\">x</a>.</p>");
        check("```json\n{\"a\": 1}\n```", "<pre><code>{&quot;a&quot;: 1}</code></pre>");
    }

    #[test]
    fn nothing_in_a_page_becomes_markup_by_accident() {
        check("<script>alert('x')</script>", "<p>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</p>");
        check("[x](javascript:alert)", "<p>x</p>");
        check("a ** b", "<p>a ** b</p>");
        check("[open", "<p>[open</p>");
    }
}
