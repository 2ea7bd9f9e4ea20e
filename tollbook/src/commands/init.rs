//! `tollbook init`: a commented configuration and the sample world, to be edited.

use std::path::Path;

use anyhow::Context;

use crate::failure::UserError;

const CONFIG: &str = include_str!("../../sample/tollbook.toml");
const WORLD: &str = include_str!("../../sample/world.toml");

/// The files of the sample tariffs, by their path.
const TARIFFS: [(&str, &str); 9] = [
    ("retail/profile.toml", include_str!("../../sample/tariffs/retail/profile.toml")),
    ("retail/fees.csv", include_str!("../../sample/tariffs/retail/fees.csv")),
    ("retail/offpeak.toml", include_str!("../../sample/tariffs/retail/offpeak.toml")),
    ("reseller/profile.toml", include_str!("../../sample/tariffs/reseller/profile.toml")),
    ("reseller/fees.csv", include_str!("../../sample/tariffs/reseller/fees.csv")),
    ("carrier-a/profile.toml", include_str!("../../sample/tariffs/carrier-a/profile.toml")),
    ("carrier-a/fees.csv", include_str!("../../sample/tariffs/carrier-a/fees.csv")),
    ("carrier-b/profile.toml", include_str!("../../sample/tariffs/carrier-b/profile.toml")),
    ("carrier-b/fees.csv", include_str!("../../sample/tariffs/carrier-b/fees.csv")),
];

/// Writes the files and says what to do next.
pub(crate) fn init(dir: &Path) -> anyhow::Result<()> {
    write_installation(dir, CONFIG)?;
    let shown = dir.display();
    println!("{shown}/tollbook.toml   the configuration, every key with its meaning");
    println!("{shown}/world.toml      sample accounts, subscribers, trunks and routes");
    println!("{shown}/tariffs/        sample tariffs");
    println!();
    println!("next:  tollbook import --config {shown}/tollbook.toml {shown}/world.toml");
    println!("       tollbook user add --config {shown}/tollbook.toml admin");
    println!("       tollbook run --config {shown}/tollbook.toml");
    Ok(())
}

/// The sample files in `dir`, with `config` as the configuration. Nothing is written into a directory that holds anything.
pub(crate) fn write_installation(dir: &Path, config: &str) -> anyhow::Result<()> {
    let unwritable = |why: std::io::Error| {
        UserError::new(format!("{}: {why}", dir.display()), "choose a directory that this user may write")
    };
    match std::fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(UserError::new(
                    format!("{}: the directory is not empty", dir.display()),
                    "choose a new one; nothing was changed in this one",
                )
                .into());
            }
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(dir).map_err(unwritable)?
        }
        Err(why) => return Err(unwritable(why).into()),
    }
    write(&dir.join("tollbook.toml"), config).map_err(unwritable)?;
    write(&dir.join("world.toml"), WORLD).map_err(unwritable)?;
    for (path, text) in TARIFFS {
        write(&dir.join("tariffs").join(path), text)
            .with_context(|| format!("write the sample tariff {path}"))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(file, text)
}
