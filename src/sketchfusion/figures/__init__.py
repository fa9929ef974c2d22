"""Pictures of results, from plain values: guesses as bars, matched points as lines, masks as a tint."""
