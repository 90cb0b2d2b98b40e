package token

// Remembered tells how many tokens are remembered and what they weigh, once
// everything that is due has been forgotten.
func (v *Validator) Remembered() (entries int, weight uint64) {
	v.memory.tokens.CleanUp()
	return v.memory.tokens.EstimatedSize(), v.memory.tokens.WeightedSize()
}
