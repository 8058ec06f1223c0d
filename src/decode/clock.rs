//! Frames of a model as seconds of a recording.
#![forbid(unsafe_code)]

/// How frames of a model become seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// When frame 0 begins in the recording, in seconds.
    pub begin: f64,
    /// Seconds from one frame of the model to the next.
    pub frame_shift: f64,
    /// Seconds from one frame of the front end to the next.
    pub hop: f64,
    /// Length of a frame of the front end, in seconds.
    pub window: f64,
    /// Length of the recording, in seconds.
    pub seconds: f64,
}

/// So much earlier than it is spoken a phone is written by CTC, in seconds: networks that see the future write a phone when
/// it begins. By the change of the spectrum at the boundaries, on the sets that the built-in model was trained on, it is 15 to
/// 30 ms.
const EARLY: f64 = 0.020;

impl Clock {
    /// When a frame of the model begins, in seconds: the place between frames of the front end, each of which stands for the
    /// middle of what it sees, and what CTC writes too early.
    pub fn at(&self, frame: usize) -> f64 {
        if frame == 0 && self.begin == 0.0 {
            return 0.0;
        }
        (self.begin + frame as f64 * self.frame_shift + self.offset() + EARLY).min(self.seconds)
    }

    /// Seconds from the start of a frame's window to where the frame before gives over to it.
    pub fn offset(&self) -> f64 {
        (self.window - self.hop) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_for_the_middle_of_what_they_see() {
        let clock = Clock { begin: 0.0, frame_shift: 0.03, hop: 0.01, window: 0.025, seconds: 1.0 };
        assert!((clock.at(10) - 0.3275).abs() < 1e-9);
        assert_eq!((clock.at(0), clock.at(40)), (0.0, 1.0));
        let later = Clock { begin: 0.3, ..clock };
        assert!((later.at(0) - clock.at(10)).abs() < 1e-9);
    }
}
