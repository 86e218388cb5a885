"""leaderboard.html: one page that answers which system is best, how sure that is, and what it costs.

What each part of the page shows is computed here as plain records; the templates only write it down. The page needs no
network, and the same results give the same bytes.
"""
