//! What a definition must fulfil beyond its shape.

use backlot_data_api::{Agg, Definition, MetricType, WindowKind};

use crate::definitions::{Catalogue, DefinitionError, Document};

/// Longest window, in days.
const WINDOW_DAYS_MAX: u32 = 366;
/// Longest wait for late data, in hours.
const HORIZON_HOURS_MAX: u32 = 24 * 90;

/// The other metrics that a definition names, with the field that names them.
pub(crate) fn references(definition: &Definition) -> impl Iterator<Item = (&'static str, &str)> {
    let named = [
        ("numerator", &definition.numerator),
        ("denominator", &definition.denominator),
        ("base_metric", &definition.base_metric),
        ("conversion_metric", &definition.conversion_metric),
    ];
    let named = named.into_iter().filter_map(|(field, name)| name.as_deref().map(|name| (field, name)));
    named.chain(definition.input_metrics.iter().map(|name| ("input_metrics", name.as_str())))
}

/// Days of the window of a cumulative metric; 1 for others.
#[must_use]
pub(crate) fn window_days(definition: &Definition) -> u32 {
    definition.window.as_deref().and_then(|text| amount(text, &["day", "days"], WINDOW_DAYS_MAX)).unwrap_or(1)
}

/// Hours that a number stays provisional after its window.
#[must_use]
pub(crate) fn horizon_hours(definition: &Definition) -> u32 {
    amount(&definition.late_data_horizon, &["hour", "hours"], HORIZON_HOURS_MAX).unwrap_or(0)
}

/// `"7 days"` → 7.
fn amount(text: &str, units: &[&str], max: u32) -> Option<u32> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: u32 = number.parse().ok()?;
    (units.contains(&unit.trim()) && (1..=max).contains(&number)).then_some(number)
}

pub(crate) fn check(document: &Document, catalogue: &Catalogue) -> Result<(), DefinitionError> {
    check_common(document, catalogue)?;
    check_fields(document)?;
    check_references(document, catalogue)?;
    check_parameters(document, catalogue)
}

fn check_common(document: &Document, catalogue: &Catalogue) -> Result<(), DefinitionError> {
    let definition = &document.definition;
    let is_name = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && text.len() <= 64
    };
    if !is_name(&definition.name) {
        return Err(document.error_at("name", "a name is snake case, at most 64 characters"));
    }
    for (field, text) in
        [("label", &definition.label), ("description", &definition.description), ("actor", &definition.actor)]
    {
        if text.trim().is_empty() {
            return Err(document.error_at(field, format!("\"{field}\" must not be empty")));
        }
    }
    if definition.entity.as_deref().is_some_and(|entity| !["person", "visitor"].contains(&entity)) {
        return Err(document.error_at("entity", "an entity is \"person\" or \"visitor\""));
    }
    if definition.version == 0 {
        return Err(document.error_at("version", "versions begin at 1"));
    }
    if definition.time_zone != "UTC" {
        return Err(document.error_at("time_zone", "only UTC is supported: the lake's days are UTC"));
    }
    if amount(&definition.late_data_horizon, &["hour", "hours"], HORIZON_HOURS_MAX).is_none() {
        let message = format!("write it as \"6 hours\", 1 to {HORIZON_HOURS_MAX}");
        return Err(document.error_at("late_data_horizon", message));
    }
    if let Some(unknown) = definition.exclusions.iter().find(|name| catalogue.exclusion(**name).is_none()) {
        let message = format!("there is no rule for the exclusion \"{}\"", unknown.name());
        return Err(document.error_at("exclusions", message));
    }
    for (field, named) in [("parts", &definition.parts), ("apart", &definition.apart)] {
        if let Some(wrong) = named.iter().find(|named| !is_name(&named.name)) {
            return Err(document.error_at(field, format!("\"{}\" is not a snake-case name", wrong.name)));
        }
    }
    Ok(())
}

/// Which fields a type needs, and that there are no others.
fn check_fields(document: &Document) -> Result<(), DefinitionError> {
    let definition = &document.definition;
    let kind = definition.metric_type;
    let percentile = definition.agg == Some(Agg::Percentile);
    let simple = kind == MetricType::Simple;
    let cumulative = kind == MetricType::Cumulative;
    let derived = kind == MetricType::Derived;
    let ratio = kind == MetricType::Ratio;
    let conversion = kind == MetricType::Conversion;
    // (field, it is there, it is allowed, it is needed)
    let fields = [
        ("events", !definition.events.is_empty(), simple, simple),
        ("agg", definition.agg.is_some(), simple, simple),
        ("expr", definition.expr.is_some(), simple || derived, simple || derived),
        ("filter", definition.filter.is_some(), simple, false),
        ("percentile", definition.percentile.is_some(), percentile, percentile),
        ("censored", definition.censored.is_some(), percentile, false),
        ("parts", !definition.parts.is_empty(), simple, false),
        ("apart", !definition.apart.is_empty(), simple || ratio, false),
        ("input_metrics", !definition.input_metrics.is_empty(), cumulative || derived, cumulative || derived),
        ("window", definition.window.is_some(), cumulative, cumulative),
        ("numerator", definition.numerator.is_some(), ratio, ratio),
        ("denominator", definition.denominator.is_some(), ratio, ratio),
        ("base_metric", definition.base_metric.is_some(), conversion, conversion),
        ("conversion_metric", definition.conversion_metric.is_some(), conversion, conversion),
        ("conversion_day", definition.conversion_day.is_some(), conversion, conversion),
    ];
    let type_name = format!("{kind:?}").to_lowercase();
    for (field, there, allowed, needed) in fields {
        if there && !allowed {
            return Err(document.error_at(field, format!("a {type_name} metric has no \"{field}\" here")));
        }
        if needed && !there {
            let at = if definition.events.is_empty() && field == "events" { "events" } else { "type" };
            return Err(document.error_at(at, format!("a {type_name} metric needs \"{field}\"")));
        }
    }
    if definition.percentile.is_some_and(|part| !(part > 0.0 && part < 1.0)) {
        return Err(document.error_at("percentile", "a percentile is between 0 and 1"));
    }
    if cumulative
        && definition
            .window
            .as_deref()
            .and_then(|text| amount(text, &["day", "days"], WINDOW_DAYS_MAX))
            .is_none()
    {
        return Err(document.error_at("window", format!("write it as \"7 days\", 1 to {WINDOW_DAYS_MAX}")));
    }
    if conversion && !definition.conversion_day.is_some_and(|day| (1..=WINDOW_DAYS_MAX).contains(&day)) {
        return Err(document.error_at("conversion_day", format!("it is 1 to {WINDOW_DAYS_MAX}")));
    }
    let window_kind = match kind {
        MetricType::Simple | MetricType::Ratio | MetricType::Derived => WindowKind::CalendarDay,
        MetricType::Cumulative => WindowKind::Trailing,
        MetricType::Conversion => WindowKind::OnDay,
    };
    if definition.window_kind != window_kind {
        let message = format!("a {type_name} metric looks at {window_kind:?}");
        return Err(document.error_at("window_kind", message));
    }
    Ok(())
}

fn check_references(document: &Document, catalogue: &Catalogue) -> Result<(), DefinitionError> {
    let definition = &document.definition;
    for (field, name) in references(definition) {
        let Some(input) = catalogue.get(name) else {
            return Err(document.error_at(field, format!("there is no metric \"{name}\"")));
        };
        let input = &input.definition;
        if input.metric_type != MetricType::Simple {
            return Err(document.error_at(field, format!("\"{name}\" is not a simple metric")));
        }
        if definition.metric_type == MetricType::Cumulative && input.agg == Some(Agg::Percentile) {
            return Err(
                document.error_at(field, format!("\"{name}\" is a percentile, which does not accumulate"))
            );
        }
        // A ratio of two populations is not a number of either.
        if input.exclusions != definition.exclusions {
            let message = format!("\"{name}\" leaves out others than this metric does");
            return Err(document.error_at("exclusions", message));
        }
    }
    if definition.metric_type == MetricType::Cumulative && definition.input_metrics.len() != 1 {
        return Err(document.error_at("input_metrics", "a cumulative metric has one input"));
    }
    Ok(())
}

fn check_parameters(document: &Document, catalogue: &Catalogue) -> Result<(), DefinitionError> {
    let definition = &document.definition;
    for name in &definition.parameters {
        if !catalogue.parameter(name).is_some_and(f64::is_finite) {
            return Err(
                document.error_at("parameters", format!("the parameter \"{name}\" is not configured"))
            );
        }
    }
    for (field, text) in [("expr", &definition.expr), ("filter", &definition.filter)] {
        let Some(text) = text else { continue };
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else {
                return Err(document.error_at(field, "a \"{\" without its \"}\""));
            };
            if !definition.parameters.iter().any(|known| known == name) {
                return Err(document.error_at(field, format!("{{{name}}} is not among the parameters")));
            }
            rest = tail;
        }
    }
    Ok(())
}
