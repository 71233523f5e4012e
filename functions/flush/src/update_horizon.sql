-- The horizon only ever moves forward, whatever the settings were in between.
update horizon
set chunks_from = greatest(chunks_from, $1), summaries_from = greatest(summaries_from, $2)
where chunks_from < $1 or summaries_from < $2
