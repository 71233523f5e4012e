-- Rejects that are stored now.
delete from rejects
using unnest($1, $2, $3, $4) as stored (topic, partition, "offset", content_hash)
where
    rejects.topic = stored.topic
    and rejects.partition = stored.partition
    and rejects."offset" = stored."offset"
    and rejects.content_hash = stored.content_hash
