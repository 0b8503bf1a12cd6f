package diag

import (
	"slices"
	"strings"
	"unicode"
)

// maxWord bounds what Closest compares, because the work grows with the square.
const maxWord = 128

// Closest returns the candidate that a person most likely meant by word, and
// whether there is one that is close enough to be worth saying. Equal but for
// case and separators (poll_interval) is closest; else the fewest slips
// (a letter added, left out, changed, or two swapped), at most one in three
// letters; else a candidate that begins with word, if there is only one.
// Ties go to the earlier candidate.
func Closest(word string, candidates []string) (string, bool) {
	w := fold(word)
	if len(w) == 0 || len(w) > maxWord {
		return "", false
	}
	best, bestDistance := "", -1
	for _, c := range candidates {
		f := fold(c)
		if c == word || len(f) > maxWord {
			continue
		}
		d := distance(w, f)
		if d <= max(len(w), len(f))/3 && (bestDistance < 0 || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	if bestDistance >= 0 {
		return best, true
	}
	if len(w) < 3 {
		return "", false
	}
	n := 0
	for _, c := range candidates {
		if f := fold(c); len(f) > len(w) && slices.Equal(f[:len(w)], w) {
			best, n = c, n+1
		}
	}
	return best, n == 1
}

// fold drops case and separators.
func fold(s string) []rune {
	return []rune(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' || r == '.' {
			return -1
		}
		return unicode.ToLower(r)
	}, s))
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours that make b out of a (optimal string alignment).
func distance(a, b []rune) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
