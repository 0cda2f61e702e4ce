package conceptincongruence

// person is somebody of public record with the years of birth and death.
type person struct {
	name        string
	born, death int
}

// people died between 1804 and 1996, so that the year alone tells little.
var people = []person{
	{"Immanuel Kant", 1724, 1804}, {"Joseph Haydn", 1732, 1809}, {"Jane Austen", 1775, 1817}, {"Napoleon Bonaparte", 1769, 1821},
	{"Thomas Jefferson", 1743, 1826}, {"Ludwig van Beethoven", 1770, 1827}, {"Johann Wolfgang von Goethe", 1749, 1832}, {"Alexander Pushkin", 1799, 1837},
	{"Frederic Chopin", 1810, 1849}, {"Alexander von Humboldt", 1769, 1859}, {"Abraham Lincoln", 1809, 1865}, {"Charles Dickens", 1812, 1870},
	{"Charles Darwin", 1809, 1882}, {"Karl Marx", 1818, 1883}, {"Victor Hugo", 1802, 1885}, {"Vincent van Gogh", 1853, 1890},
	{"Louis Pasteur", 1822, 1895}, {"Queen Victoria", 1819, 1901}, {"Dmitri Mendeleev", 1834, 1907}, {"Leo Tolstoy", 1828, 1910},
	{"Mark Twain", 1835, 1910}, {"Theodore Roosevelt", 1858, 1919}, {"Vladimir Lenin", 1870, 1924}, {"Claude Monet", 1840, 1926},
	{"Thomas Edison", 1847, 1931}, {"Marie Curie", 1867, 1934}, {"Sigmund Freud", 1856, 1939}, {"Virginia Woolf", 1882, 1941},
	{"Nikola Tesla", 1856, 1943}, {"Franklin D. Roosevelt", 1882, 1945}, {"Mahatma Gandhi", 1869, 1948}, {"Joseph Stalin", 1878, 1953},
	{"Albert Einstein", 1879, 1955}, {"Niels Bohr", 1885, 1962}, {"John F. Kennedy", 1917, 1963}, {"Winston Churchill", 1874, 1965},
	{"Bertrand Russell", 1872, 1970}, {"Pablo Picasso", 1881, 1973}, {"Mao Zedong", 1893, 1976}, {"Charlie Chaplin", 1889, 1977},
	{"John Lennon", 1940, 1980}, {"Indira Gandhi", 1917, 1984}, {"Salvador Dali", 1904, 1989}, {"Carl Sagan", 1934, 1996},
}
