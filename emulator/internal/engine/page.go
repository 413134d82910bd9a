package engine

import "strconv"

// page is the part of a list request that says which part of the list to give.
type page struct {
	MaxResults int    `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

// paged cuts a page out of a list; next is empty at the list's end. A token
// that no list gave is InvalidNextTokenException. most is the operation's
// greatest page, which it gives when none is asked for.
func paged[T any](p page, list []T, most int) (part []T, next string, err error) {
	from := 0
	if p.NextToken != "" {
		from, err = strconv.Atoi(p.NextToken)
		if err != nil || from <= 0 || from > len(list) {
			return nil, "", fail("InvalidNextTokenException", "The next token is not valid")
		}
	}
	size := p.MaxResults
	if size == 0 {
		size = most
	}
	to := min(from+size, len(list))
	if to < len(list) {
		next = strconv.Itoa(to)
	}
	return list[from:to], next, nil
}
