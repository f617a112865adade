//! The body of a samples batch: columns pooled per metric, each under the coding that measured smaller.
