//! Trainable parts on candle tensors. Knows nothing of speech.
