package config

import "strings"

// Nearest returns the candidate that name most likely meant: one with the same last part (lr for train.lr), else the
// one with the smallest edit distance (insertions, deletions, substitutions and swaps of neighbours) when that is at
// most a third of the length, or two. Ties go to the earlier candidate.
func Nearest(name string, candidates []string) (string, bool) {
	name = strings.ToLower(name)
	for _, c := range candidates {
		if c == name || strings.HasSuffix(c, "."+name) {
			return c, true
		}
	}
	best, at := "", -1
	for _, c := range candidates {
		if d := editDistance(name, c); at < 0 || d < at {
			best, at = c, d
		}
	}
	return best, at >= 0 && at <= max(2, len(name)/3) && at < max(len(name), len(best))
}

// editDistance is the optimal string alignment distance of a and b, in bytes.
func editDistance(a, b string) int {
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
