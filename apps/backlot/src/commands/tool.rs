//! `backlot tool new NAME`: a folder with a tool in a dozen lines, ready to be changed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

const NAME_CHARS_MAX: usize = 48;

/// Options of `backlot tool`.
#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    #[command(subcommand)]
    command: ToolCommand,
}

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Writes a folder with a new tool: a running studio offers it at once.
    New {
        /// Lower-case letters, digits and hyphens.
        name: String,
        /// Where folders of extensions are.
        #[arg(long, env = "BACKLOT_EXTENSIONS", default_value = "extensions")]
        extensions: PathBuf,
    },
}

/// Does what the command line says.
pub(crate) fn run(args: &ToolArgs) -> anyhow::Result<()> {
    let ToolCommand::New { name, extensions } = &args.command;
    let file = new(name, extensions)?;
    println!("backlot: {} is a tool; change it and save, and the studio has it", file.display());
    println!("         from a checkout, with Pillow, it runs without a studio:");
    println!("         PYTHONPATH=sdk/python python {} --picture PHOTO", file.display());
    Ok(())
}

/// Writes the folder; the description last, so that a studio never sees half of it.
fn new(name: &str, extensions: &Path) -> anyhow::Result<PathBuf> {
    let is_name = name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    anyhow::ensure!(
        is_name,
        "\"{name}\" cannot name a tool: take at most {NAME_CHARS_MAX} lower-case letters, digits and hyphens, a \
         letter first"
    );
    let folder = extensions.join(name);
    anyhow::ensure!(!folder.exists(), "{} is there already", folder.display());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let function = name.replace('-', "_");
    let file = folder.join(format!("{function}.py"));
    let label = name.replace('-', " ");
    let label = label[..1].to_uppercase() + &label[1..];
    let code = TEMPLATE.replace("FUNCTION", &function).replace("LABEL", &label);
    std::fs::write(&file, code).with_context(|| format!("cannot write {}", file.display()))?;
    let description =
        format!("# What a studio reads. The Python file is the tool.\n[tool]\nfile = \"{function}.py\"\n");
    std::fs::write(folder.join("backlot.toml"), description)?;
    Ok(file)
}

const TEMPLATE: &str = r##"from PIL import Image, ImageOps

from backlot import Number, Picture, preview, progress, tool


@tool(label="LABEL", price=20_000)  # micro-credits: 0.02 credits a run
def FUNCTION(picture: Picture(), strength: Number(0, 1) = 0.8):
    "Makes a photograph look old."
    photo = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
    old = ImageOps.colorize(ImageOps.grayscale(photo), "#2b1a0c", "#f5e6c8")
    progress(0.5, "toning")
    preview(old)
    return Image.blend(photo, old, strength)


if __name__ == "__main__":
    FUNCTION.main()
"##;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tool_is_written_once_and_under_a_name_that_fits() {
        let root = tempfile::tempdir().expect("a folder");
        let file = new("old-film", root.path()).expect("written");
        let code = std::fs::read_to_string(&file).expect("readable");
        assert!(code.contains("def old_film(") && code.contains("label=\"Old film\""), "{code}");
        assert!(root.path().join("old-film/backlot.toml").is_file());
        assert!(new("old-film", root.path()).is_err(), "what is there is not overwritten");
        for name in ["", "Old", "../up", "a_b", "9"] {
            assert!(new(name, root.path()).is_err(), "{name}");
        }
    }
}
