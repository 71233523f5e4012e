-- Until the end of this transaction nobody changes target_urls. Fails if it is not of the version $1.
select 1 / (url_changes = $1)::integer
from horizon
for share
