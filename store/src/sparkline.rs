//! The course of a count as a small picture, for mails.
//!
//! In: counts, oldest first. Out: a PNG of bars on white, the highest as high as the picture.

/// Pixels of a bar, of the gap behind it, and of the whole in height.
const BAR_WIDTH: usize = 32;
const GAP: usize = 4;
const HEIGHT: usize = 64;

/// Bars drawn at most.
const BARS_MAX: usize = 60;

/// Places in the palette.
const PAPER: u8 = 0;
const BAR: u8 = 1;
const LAST_BAR: u8 = 2;

/// White, a blue, and a red for the latest bar.
const PALETTE: [u8; 9] = [255, 255, 255, 70, 110, 160, 190, 50, 40];

/// The picture; `None` where there is nothing to see.
pub(crate) fn png(counts: &[u32]) -> Option<Vec<u8>> {
    let counts = &counts[counts.len().saturating_sub(BARS_MAX)..];
    let highest = usize::try_from(counts.iter().copied().max().filter(|highest| *highest > 0)?).ok()?;
    let width = counts.len() * (BAR_WIDTH + GAP) + GAP;
    let mut pixels = vec![PAPER; width * HEIGHT];
    for (place, count) in counts.iter().enumerate() {
        // A single call among thousands is still seen.
        let height = (usize::try_from(*count).ok()? * HEIGHT).div_ceil(highest).min(HEIGHT);
        let color = if place + 1 == counts.len() { LAST_BAR } else { BAR };
        let left = GAP + place * (BAR_WIDTH + GAP);
        for row in HEIGHT - height..HEIGHT {
            pixels[row * width + left..][..BAR_WIDTH].fill(color);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, u32::try_from(width).ok()?, u32::try_from(HEIGHT).ok()?);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(PALETTE.to_vec());
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Rows of the picture that have ink, by bar.
    fn heights(counts: &[u32]) -> Vec<usize> {
        let picture = png(counts).unwrap();
        let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let width = info.line_size;
        let column = |place: usize| GAP + place * (BAR_WIDTH + GAP);
        (0..counts.len())
            .map(|place| (0..HEIGHT).filter(|row| pixels[row * width + column(place)] != PAPER).count())
            .collect()
    }

    #[test]
    fn bars_are_as_high_as_their_counts_and_one_call_is_seen() {
        assert_eq!(heights(&[0, 1, 500, 1_000, 250, 3]), [0, 1, 32, 64, 16, 1]);
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(png(&[]), None);
        assert_eq!(png(&[0, 0]), None);
    }
}
