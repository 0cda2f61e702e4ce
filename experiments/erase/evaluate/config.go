package evaluate

import (
	"fmt"

	"loupe/experiments/erase/attack"
	"loupe/experiments/erase/method"
)

// Config says what is erased and how the outcome is measured.
type Config struct {
	Task       method.TaskConfig `json:"task" doc:"what is erased; each concept of erase by itself"`
	Seeds      int               `json:"seeds" doc:"fits of each concept: from the second on with other templates, ordinary sentences and draws"`
	Grid       int               `json:"grid" doc:"concepts of the other domain that every concept is crossed with, for UA, IRA and CRA"`
	Neighbours int               `json:"neighbours" doc:"nearest concepts that should be preserved"`
	Probe      bool              `json:"probe" doc:"fit fresh probes to the edited encoder, with shuffled labels as control"`
	Generated  int               `json:"generated" doc:"fictional people to erase at once and to keep; 0: none"`
	Together   []int             `json:"together" doc:"numbers of fictional people that are erased at once"`

	Attacks        []string `json:"attacks" doc:"attacks, each static and adaptive, with their small defaults; see loupe erase attack for more"`
	AttackConcepts int      `json:"attack_concepts" doc:"erased concepts that are attacked, the first ones"`
	AttackPrompts  int      `json:"attack_prompts" doc:"held-out prompts of each that are attacked"`
}

// DefaultConfig erases every object by itself, and 1, 10 and 100 of 120 fictional people.
func DefaultConfig() Config {
	t := method.DefaultTask()
	t.Erase = nil
	return Config{Task: t, Seeds: 1, Grid: 5, Neighbours: 3, Probe: true, Generated: 120, Together: []int{1, 10, 100}, AttackConcepts: 3, AttackPrompts: 2}
}

// Validate checks what needs no data.
func (c Config) Validate() error {
	if err := c.Task.Validate(); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	if c.Seeds < 1 || c.Grid < 1 || c.Neighbours < 1 {
		return fmt.Errorf("seeds is %d, grid %d, neighbours %d; use 1 or more of each", c.Seeds, c.Grid, c.Neighbours)
	}
	for i, a := range c.Attacks {
		if _, err := attack.Find(a); err != nil {
			return fmt.Errorf("attacks.%d: %w", i, err)
		}
	}
	if c.AttackConcepts < 1 || c.AttackPrompts < 1 {
		return fmt.Errorf("attack_concepts is %d, attack_prompts %d; use 1 or more", c.AttackConcepts, c.AttackPrompts)
	}
	for _, n := range c.Together {
		if n < 1 || n >= c.Generated {
			return fmt.Errorf("together has %d of %d generated people; use 1 or more, and leave some to keep", n, c.Generated)
		}
	}
	return nil
}

// ImageOnly are the published metrics that need images, which a text encoder has none of.
func ImageOnly() []string {
	return []string{"FID", "KID", "LPIPS", "NudeNet counts", "Q16", "GIPHY celebrity classifier", "CLIP score of images", "ICR"}
}
