package sso

// Paths of the pages, which accountpages serves.
const (
	// PathChoose is where somebody chooses how to sign in to the client of the parameter redirectUrl.
	PathChoose = "/_causeway/account/sso"
	// PathStart sends somebody to the provider of the parameter provider.
	PathStart = PathChoose + "/start"
	// PathBack is below which providers send people back.
	PathBack = PathChoose + "/callback/"
	// PathContinue is where they say what they want, who came back.
	PathContinue = PathChoose + "/continue"
)
