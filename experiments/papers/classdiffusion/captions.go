package classdiffusion

// captions describe one thing of each class: what a new word is to mean. The classes that settings were chosen on are not among those
// of the study.
var captions = map[string][]string{
	"dog":      {"a small brown dog with white paws and a red collar", "a brown puppy that wears a red collar", "a little brown dog with white paws sits there"},
	"cat":      {"a fat grey cat with a torn ear and yellow eyes", "an old grey cat with yellow eyes", "a heavy cat whose ear is torn looks up"},
	"teapot":   {"a blue china teapot with a golden lid and painted birds", "an old blue teapot with birds painted on it", "a round teapot of blue china with a golden lid"},
	"backpack": {"a worn green backpack with leather straps and a star patch", "a green canvas backpack with a star on it", "an old backpack with leather straps"},
	"car":      {"a rusty yellow car with one broken lamp", "an old yellow car with rust on its doors", "a small car with a broken lamp"},
	"clock":    {"a tall wooden clock with roman numerals and a brass pendulum", "an antique wooden clock with a pendulum of brass", "a wooden clock with roman numerals"},
	// for choosing settings
	"horse": {"a black horse with a white star on its head", "a tall black horse with a braided mane", "a black horse with a star and a braided mane"},
	"chair": {"a red plastic chair with thin metal legs", "a shiny red chair with legs of metal", "a small plastic chair in red"},
}

// compositions are what follows a class in the prompts that customisation is said to break.
var compositions = []string{
	"wearing headphones", "on a sandy beach", "in the snow", "next to a birthday cake", "under a purple umbrella", "in front of a city skyline", "covered with flowers", "in a swimming pool",
}

// phrases hold a new word and its class in training, held-out ones in evaluation.
var (
	phrases = []string{"a photo of a <new1> {class}", "an image of a <new1> {class}", "a close view of a <new1> {class}", "a drawing of a <new1> {class}"}
	heldOut = "there is a <new1> {class}"
)
